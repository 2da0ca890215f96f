use tachograph_embedded::Ledger;

let dir = std::path::Path::new("audit");
if !Ledger::exists(dir) {
    // Once, and on purpose. Give this line to all who will verify.
    let key = Ledger::create(dir, "acme.example/desk")?;
    println!("{key}");
}
let ledger = Ledger::open(dir)?;
let guard = tachograph::Init::new("desk").init_with(ledger.exporter())?;
// … the application …
guard.shutdown()?;
ledger.close()?; // all that was recorded is archived now: tachograph verify audit
