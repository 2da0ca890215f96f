fn main() {
    tachograph::step!();
    tachograph::step!(result = 1);
    tachograph::step!("A", resalt = 1);
    tachograph::step!("A", result = 1, result = 2);
    tachograph::step!("A", 1);
    tachograph::step!("A", reason = "{}");
    tachograph::step!("A", confidence = "high");
}
