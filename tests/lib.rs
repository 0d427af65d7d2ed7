//! Nothing: the tests stand beside this file, and `README.md` says how to read them.
