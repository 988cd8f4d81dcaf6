//! The components are in `samples/` and `hostile/`; `README.md` says what each is for.
