use std::io::Write;

use proptest::prelude::*;

use super::*;

const ALL: [ContentEncoding; 4] =
    [ContentEncoding::Identity, ContentEncoding::Gzip, ContentEncoding::Zstd, ContentEncoding::Snappy];

fn compress(encoding: ContentEncoding, plain: &[u8]) -> Vec<u8> {
    match encoding {
        ContentEncoding::Identity => plain.to_vec(),
        ContentEncoding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(plain).expect("memory");
            encoder.finish().expect("memory")
        }
        ContentEncoding::Zstd => zstd::encode_all(plain, 3).expect("memory"),
        ContentEncoding::Snappy => snap::raw::Encoder::new().compress_vec(plain).expect("small"),
    }
}

#[test]
fn every_encoding_gives_back_what_went_in() {
    let plain = b"cpu,host=a value=1 1\n".repeat(1_000);
    for encoding in ALL {
        let packed = compress(encoding, &plain);
        assert_eq!(decompress(encoding, &packed, plain.len()).expect("within the limit"), &plain[..], "{encoding:?}");
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let bomb = vec![0_u8; 8 << 20];
    for encoding in ALL {
        let packed = compress(encoding, &bomb);
        let limit = 1 << 20;
        assert_eq!(decompress(encoding, &packed, limit), Err(BodyError::TooLarge { limit }), "{encoding:?}");
    }
}

#[test]
fn one_byte_over_the_limit_is_too_large() {
    for encoding in ALL {
        let packed = compress(encoding, &[7; 100]);
        assert_eq!(decompress(encoding, &packed, 99), Err(BodyError::TooLarge { limit: 99 }), "{encoding:?}");
    }
}

#[test]
fn a_truncated_body_is_an_error_wherever_it_is_cut() {
    let plain: Vec<u8> = (0..2_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for encoding in [ContentEncoding::Gzip, ContentEncoding::Zstd, ContentEncoding::Snappy] {
        let packed = compress(encoding, &plain);
        for cut in (1..packed.len()).step_by(97) {
            let result = decompress(encoding, &packed[..cut], plain.len());
            assert!(matches!(result, Err(BodyError::Damaged { .. })), "{encoding:?} cut at {cut}");
        }
    }
}

#[test]
fn a_lying_snappy_length_is_refused_before_memory_is_taken() {
    // Claims 2^32 - 1 bytes: over any limit.
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    assert_eq!(decompress(ContentEncoding::Snappy, &huge, 1 << 20), Err(BodyError::TooLarge { limit: 1 << 20 }));
    // Claims 1 MiB - 1, within the limit, in five bytes.
    let implausible = [0xff, 0xff, 0x3f, 0x00, 0x61];
    let error = decompress(ContentEncoding::Snappy, &implausible, 1 << 20).expect_err("implausible");
    assert!(error.to_string().contains("cannot hold"), "{error}");
    // Claims one byte more than there is.
    let mut packed = compress(ContentEncoding::Snappy, b"hello");
    packed[0] += 1;
    assert!(matches!(decompress(ContentEncoding::Snappy, &packed, 100), Err(BodyError::Damaged { .. })));
}

#[test]
fn stacked_and_unknown_encodings_are_refused() {
    assert_eq!(ContentEncoding::parse(None), Ok(ContentEncoding::Identity));
    assert_eq!(ContentEncoding::parse(Some("GZIP")), Ok(ContentEncoding::Gzip));
    assert_eq!(ContentEncoding::parse(Some(" zstd ")), Ok(ContentEncoding::Zstd));
    for header in ["gzip, zstd", "br", "deflate"] {
        assert_eq!(ContentEncoding::parse(Some(header)), Err(BodyError::UnknownEncoding(header.to_owned())));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_decompress_or_fail_within_the_limit(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        which in 0_usize..4,
    ) {
        if let Ok(plain) = decompress(ALL[which], &bytes, 1_000) {
            prop_assert!(plain.len() <= 1_000);
        }
    }
}
