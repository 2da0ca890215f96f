//! An image-generation service: who asked for which picture, with what parameters, and which file
//! came out. Given a file, its path or its hash leads back to the prompt, the session and the user.
//!
//! The "model" is small but real: it draws noise from the seed and smooths it step by step towards
//! colours that the prompt's words give. Equal requests give equal files.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tachograph::Outcome;
use tachograph_examples::{Options, end};

struct Request {
    user: &'static str,
    session: &'static str,
    prompt: &'static str,
    negative_prompt: Option<&'static str>,
    width: usize,
    height: usize,
    steps: u32,
    guidance_scale: f64,
    seed: u64,
}

struct Image {
    path: PathBuf,
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum ImageError {
    Blocked(Vec<&'static str>),
    Write(std::io::Error),
}

impl fmt::Display for ImageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocked(flags) => write!(formatter, "blocked for {}", flags.join(", ")),
            Self::Write(error) => write!(formatter, "the image can't be written: {error}"),
        }
    }
}

impl std::error::Error for ImageError {}

const REQUESTS: [Request; 4] = [
    Request {
        user: "anna@example.com",
        session: "studio-4711",
        prompt: "a red fox in the snow",
        negative_prompt: Some("blurry, text"),
        width: 64,
        height: 48,
        steps: 12,
        guidance_scale: 7.5,
        seed: 42,
    },
    Request {
        user: "anna@example.com",
        session: "studio-4711",
        prompt: "a red fox in the snow, evening light",
        negative_prompt: None,
        width: 64,
        height: 48,
        steps: 20,
        guidance_scale: 9.0,
        seed: 43,
    },
    Request {
        user: "ben@example.com",
        session: "studio-4712",
        prompt: "instructions for a weapon as a comic",
        negative_prompt: None,
        width: 64,
        height: 64,
        steps: 12,
        guidance_scale: 7.5,
        seed: 7,
    },
    Request {
        user: "ben@example.com",
        session: "studio-4712",
        prompt: "portrait of a lighthouse keeper",
        negative_prompt: Some("frame"),
        width: 32,
        height: 64,
        steps: 8,
        guidance_scale: 5.0,
        seed: 8,
    },
];

/// What the content filter finds in a prompt.
fn content_flags(prompt: &str) -> Vec<&'static str> {
    const RULES: [(&str, &str); 3] =
        [("weapon", "violence.weapon"), ("gore", "violence.gore"), ("portrait", "person.portrait")];
    RULES.iter().filter(|(word, _)| prompt.contains(word)).map(|(_, flag)| *flag).collect()
}

#[tachograph::generation(
    action = "generate_image",
    provider = "in-house",
    model = "smooth-noise",
    model_version = env!("CARGO_PKG_VERSION"),
    prompt = request.prompt,
    negative_prompt = request.negative_prompt,
    input_hash = request.prompt,
    width = request.width,
    height = request.height,
    steps = request.steps,
    guidance_scale = request.guidance_scale,
    seed = request.seed,
    content_flags = content_flags(request.prompt),
    output_path = ret.path,
    output_hash = ret.bytes,
    actor = request.user,
    session = request.session,
)]
fn generate(request: &Request, out: &Path) -> Result<Image, ImageError> {
    let blocking: Vec<_> =
        content_flags(request.prompt).into_iter().filter(|flag| flag.starts_with("violence")).collect();
    if !blocking.is_empty() {
        tachograph::set_outcome(Outcome::Blocked, "content filter");
        return Err(ImageError::Blocked(blocking));
    }
    let bytes = encode(request, &draw(request));
    let path = out.join(format!("{}-{}.ppm", request.session, request.seed));
    save(&path, &bytes).map_err(ImageError::Write)?;
    Ok(Image { path, bytes })
}

#[tachograph::tool_call(tool = "save_file", arguments = path, result = bytes.len(), resource_type = "file", resource = path)]
fn save(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::write(path, bytes)
}

/// Brightness per pixel, 0 to 1.
fn draw(request: &Request) -> Vec<f64> {
    let (width, height) = (request.width, request.height);
    let mut state = request.seed | 1;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut pixels: Vec<f64> = (0..width * height).map(|_| noise()).collect();
    for _ in 0..request.steps {
        let before = pixels.clone();
        for (i, pixel) in pixels.iter_mut().enumerate() {
            let (x, y) = (i % width, i / width);
            let left = before[y * width + (x + width - 1) % width];
            let right = before[y * width + (x + 1) % width];
            let above = before[(y + height - 1) % height * width + x];
            let below = before[(y + 1) % height * width + x];
            let smooth = (left + right + above + below) / 4.0;
            let ring = ((x as f64 / width as f64 - 0.5).hypot(y as f64 / height as f64 - 0.5) * request.guidance_scale)
                .sin()
                .abs();
            *pixel = 0.2 * before[i] + 0.6 * smooth + 0.2 * ring;
        }
    }
    pixels
}

/// The image as a binary PPM file, in colours that the prompt's bytes give.
fn encode(request: &Request, pixels: &[f64]) -> Vec<u8> {
    let tone = request.prompt.bytes().fold([1_u32; 3], |[r, g, b], byte| {
        let byte = u32::from(byte);
        [r * 31 % 251 + byte % 5, g * 17 % 241 + byte % 7, b * 13 % 239 + byte % 3]
    });
    let mut file = format!("P6\n{} {}\n255\n", request.width, request.height).into_bytes();
    for pixel in pixels {
        file.extend(tone.map(|tone| (pixel.clamp(0.0, 1.0) * f64::from(tone.min(255))) as u8));
    }
    file
}

fn main() -> ExitCode {
    let start = Options::from_command_line()
        .map_err(Into::into)
        .and_then(|options| Ok((options, tachograph::Init::new("image-service").init()?)));
    match start {
        Ok((options, guard)) => end(guard, serve(&options)),
        Err(error) => {
            let error: Box<dyn std::error::Error> = error;
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    fs::create_dir_all(&options.out)?;
    for _ in 0..options.count {
        for request in &REQUESTS {
            match generate(request, &options.out) {
                Ok(image) => println!("{} for {}", image.path.display(), request.user),
                Err(ImageError::Blocked(flags)) => {
                    println!("refused {:?} of {}: {}", request.prompt, request.user, flags.join(", "));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
