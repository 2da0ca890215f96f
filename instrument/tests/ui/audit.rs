fn main() {
    tachograph::audit! { actor = "anna" }
    tachograph::audit! { action = "x", aktor = "anna", fallible }
    tachograph::audit! { action = "x", details = ret }
    tachograph::audit! { action "x" }
    tachograph::audit! { action = }
}
