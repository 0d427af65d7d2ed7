//! What is known of a number: pure values with laws, which know nothing of programs.
