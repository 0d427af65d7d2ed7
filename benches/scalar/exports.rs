//! The library that `build.rs` makes: each function of `native.rs` as `u64 scalar_NAME(u8 *data, u64 length)`.
//!
//! # Contract
//!
//! A caller lends memory of the length it names, to nobody else, until the function returns.

#[path = "../src/native.rs"]
mod native;

macro_rules! exports {
    ($( $export:ident $function:ident; )*) => {$(
        // SAFETY: no other symbol of the process starts like this one.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $export(data: *mut u8, length: u64) -> u64 {
            // SAFETY: the contract above.
            native::$function(unsafe { std::slice::from_raw_parts_mut(data, length as usize) })
        }
    )*};
}

exports! {
    scalar_return_one return_one;
    scalar_ethertype ethertype;
    scalar_tcp_port tcp_port;
    scalar_headers headers;
    scalar_rewrite rewrite;
    scalar_spread spread;
    scalar_checksum checksum;
    scalar_fnv1a fnv1a;
    scalar_rotate_mix rotate_mix;
    scalar_adler adler;
    scalar_crc32 crc32;
    scalar_mask mask;
    scalar_copy copy;
    scalar_primes primes;
    scalar_fibonacci fibonacci;
    scalar_bits bits;
    scalar_digits digits;
    scalar_divisor divisor;
    scalar_sort sort;
    scalar_search search;
    scalar_matrix matrix;
    scalar_histogram histogram;
    scalar_dispatch dispatch;
    scalar_calls calls;
    scalar_helper helper;
}
