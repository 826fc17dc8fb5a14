//! Args in compressed form, and the member `wf` of `custom` that says so.
//!
//! The form, version 1: `args` is `["…"]`, one string, the standard base64 (RFC 4648, with padding)
//! of one zstd frame (RFC 8878) that holds the args as JSON; `custom.wf` is
//! `{"v":1,"encoding":"zstd-base64","bytes":N}`, where `N` is the size of that JSON.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use faktory_wire::{Excerpt, Job, RawJson};
use serde_json::value::RawValue;
use zstd::bulk::Compressor;

/// The largest args that are compressed or unpacked. The size that `wf` promises bounds the
/// unpacking too, so that a frame with more than that is never unpacked in full.
pub const UNPACKED_BYTES_MAX: usize = 64 << 20;

/// The name of the form, as `custom.wf.encoding` has it.
pub const ENCODING: &str = "zstd-base64";
/// The compression level, zstd's own default: with 19 instead of 3, the corpus shrinks by only
/// another 1 to 5 % of its size, at many times the processor time.
const LEVEL: i32 = 3;
/// The memory that a frame may ask for, as a power of two: 8 MiB, the bound of RFC 9659 for HTTP.
const WINDOW_LOG_MAX: u32 = 23;

/// The args and custom of one job in compressed form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compressed {
    /// The compressed args.
    pub args: RawJson,
    /// The client's own object, with the member `wf`.
    pub custom: RawJson,
}

/// The reason why a job's args cannot be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// The form is not known here; another version may know it.
    #[error("{0}")]
    Unknown(String),
    /// The form is known, and the args in it are broken or too large.
    #[error("{0}")]
    Broken(String),
}

/// Compresses args; `custom` is the client's own object, without a member `wf`. `None` where
/// compression would save nothing, or the args are larger than [`UNPACKED_BYTES_MAX`].
#[must_use]
pub fn compress(args: &RawJson, custom: Option<&RawJson>) -> Option<Compressed> {
    thread_local! {
        // The tables of a compressor take a megabyte, and are made once for each thread.
        static COMPRESSOR: RefCell<Option<Compressor<'static>>> =
            RefCell::new(Compressor::new(LEVEL).ok());
    }
    let json = args.get();
    if json.len() > UNPACKED_BYTES_MAX {
        return None;
    }
    let frame = COMPRESSOR
        .with_borrow_mut(|compressor| compressor.as_mut()?.compress(json.as_bytes()).ok())?;
    let wf = format!("\"wf\":{{\"v\":1,\"encoding\":\"{ENCODING}\",\"bytes\":{}}}", json.len());
    let before = custom.map_or(0, |custom| custom.get().len());
    let custom = match custom.and_then(|custom| custom.get().trim().strip_prefix('{')) {
        Some(members) if members.trim_start() != "}" => format!("{{{wf},{members}"),
        _ => format!("{{{wf}}}"),
    };
    // The size is known before the string is made: most args that are too small end here.
    let after = frame.len().div_ceil(3) * 4
        + "[\"\"]".len()
        + custom.len()
        + if before == 0 { "\"custom\":,".len() } else { 0 };
    (after < json.len() + before).then(|| Compressed {
        args: RawJson::from_checked(format!("[\"{}\"]", BASE64.encode(frame))),
        custom: RawJson::from_checked(custom),
    })
}

/// Unpacks a job's args, and takes `wf` out of the job's `custom`. A job without `wf` is left as it
/// is.
///
/// # Errors
/// Where `wf` has a form that is not known here, or the args are broken or too large. The job is
/// then left as it was.
pub fn unpack(job: &mut Job) -> Result<(), UnpackError> {
    // Only `wf` is read: the other members of custom are the client's own.
    let Some(custom) = &job.custom else { return Ok(()) };
    let Ok(mut members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(custom.get()) else {
        return Ok(());
    };
    let Some(wf) = members.remove("wf") else { return Ok(()) };
    let Some(bytes) = promised(wf)? else { return Ok(()) };
    let args = unpacked(job.args_json(), bytes)
        .map_err(|reason| UnpackError::Broken(format!("the compressed args {reason}")))?;
    let rest = (!members.is_empty()).then(|| serde_json::to_string(&members).unwrap_or_default());
    job.custom = rest.map(RawJson::from_checked);
    job.args = Some(args);
    Ok(())
}

/// The size that the job's args will have when [`unpack`] has unpacked them; 0 where it will not.
#[must_use]
pub fn unpacked_bytes(job: &Job) -> usize {
    let Some(custom) = &job.custom else { return 0 };
    let members = serde_json::from_str::<BTreeMap<String, &RawValue>>(custom.get());
    let wf = members.ok().and_then(|mut members| members.remove("wf"));
    let bytes = wf.and_then(|wf| promised(wf).ok().flatten()).unwrap_or_default();
    if bytes > UNPACKED_BYTES_MAX { 0 } else { bytes }
}

/// The size of the args that `wf` promises; `None` where `wf` names no encoding.
fn promised(wf: &RawValue) -> Result<Option<usize>, UnpackError> {
    let unknown = |what: String| UnpackError::Unknown(format!("this worker does not know {what}"));
    let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(wf.get()) else {
        return Err(unknown("this form of custom.wf".into()));
    };
    let shown = |value: &RawValue| Excerpt(value.get()).to_string();
    match members.get("v").map(|version| version.get()) {
        Some("1") => {}
        Some(_) | None => {
            let version =
                members.get("v").map_or_else(|| "none".to_owned(), |version| shown(version));
            return Err(unknown(format!("version {version} of custom.wf; it knows 1")));
        }
    }
    if let Some(name) =
        members.keys().find(|name| !matches!(name.as_str(), "v" | "encoding" | "bytes"))
    {
        return Err(unknown(format!("the member \"{}\" of custom.wf", Excerpt(name))));
    }
    match members.get("encoding") {
        None => Ok(None),
        Some(encoding)
            if serde_json::from_str::<&str>(encoding.get())
                .is_ok_and(|encoding| encoding == ENCODING) =>
        {
            let bytes =
                members.get("bytes").and_then(|bytes| serde_json::from_str(bytes.get()).ok());
            bytes.map(Some).ok_or_else(|| {
                UnpackError::Broken("custom.wf.bytes must be the size of the args in bytes".into())
            })
        }
        Some(encoding) => Err(unknown(format!(
            "the encoding {} of custom.wf; it knows \"{ENCODING}\"",
            shown(encoding)
        ))),
    }
}

/// Unpacks args of exactly `bytes` bytes. The error continues the words "the compressed args".
fn unpacked(args: &str, bytes: usize) -> Result<RawJson, String> {
    if bytes > UNPACKED_BYTES_MAX {
        return Err(format!("would have {bytes} bytes; at most {UNPACKED_BYTES_MAX} are accepted"));
    }
    let [text] =
        serde_json::from_str::<[&str; 1]>(args).map_err(|_| "are not one string".to_owned())?;
    let frame = BASE64.decode(text).map_err(|error| format!("are not base64: {error}"))?;
    let broken = |error: std::io::Error| format!("are not a zstd frame: {error}");
    let found = |found: String| {
        format!("have {found} bytes instead of the {bytes} that custom.wf promises")
    };
    // A frame that says its size says it before anything is unpacked.
    let says = zstd::zstd_safe::get_frame_content_size(&frame).ok().flatten();
    match says.map(usize::try_from) {
        Some(Ok(says)) if says == bytes => {}
        Some(Ok(says)) if says < bytes => return Err(found(says.to_string())),
        Some(_) => return Err(found("more".into())),
        None => {}
    }
    let mut decoder =
        zstd::stream::read::Decoder::with_buffer(frame.as_slice()).map_err(broken)?.single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(broken)?;
    // The first byte beyond the promised size ends the unpacking. Where the frame says the same
    // size, the memory is taken at once; otherwise it grows with the bytes that really come.
    let mut json = Vec::with_capacity(if says.is_some() { bytes + 1 } else { 0 });
    decoder.take(bytes as u64 + 1).read_to_end(&mut json).map_err(broken)?;
    if json.len() != bytes {
        return Err(found(if json.len() > bytes { "more".into() } else { json.len().to_string() }));
    }
    let json = String::from_utf8(json).map_err(|_| "are not UTF-8".to_owned())?;
    let json = RawJson::of_text(json).map_err(|error| format!("are {error}"))?;
    if json.get().starts_with('[') { Ok(json) } else { Err("are not a JSON array".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(args: &str, custom: &str) -> Job {
        Job::parse(
            format!(r#"{{"jid":"job-00000001","jobtype":"t","args":{args},"custom":{custom}}}"#)
                .as_bytes(),
        )
        .unwrap()
    }

    fn packed(json: &[u8], bytes: usize) -> Job {
        let frame = BASE64.encode(zstd::bulk::compress(json, 3).unwrap());
        job(
            &format!("[\"{frame}\"]"),
            &format!(r#"{{"wf":{{"v":1,"encoding":"zstd-base64","bytes":{bytes}}}}}"#),
        )
    }

    fn error(mut job: Job) -> String {
        let before = job.clone();
        let error = unpack(&mut job).unwrap_err();
        assert_eq!(job, before, "{error}");
        match error {
            UnpackError::Unknown(text) => format!("unknown: {text}"),
            UnpackError::Broken(text) => format!("broken: {text}"),
        }
    }

    #[test]
    fn compressed_args_are_unpacked_unchanged_beside_the_clients_own_custom() {
        let args = format!("[{}1.0]", "9007199254740993,\"\\ud800\",".repeat(100));
        for own in [None, Some("{}"), Some(r#"{"a":1,"traceparent":"x"}"#)] {
            let custom = own.map(|own| RawJson::parse(own).unwrap());
            let compressed = compress(&RawJson::parse(&args).unwrap(), custom.as_ref()).unwrap();
            let mut job = job(compressed.args.get(), compressed.custom.get());
            unpack(&mut job).unwrap();
            assert_eq!(job.args_json(), args);
            assert_eq!(job.custom.as_ref().map(RawJson::get), own.filter(|own| *own != "{}"));
        }
    }

    #[test]
    fn args_that_would_not_become_smaller_are_not_compressed() {
        assert_eq!(compress(&RawJson::parse("[1,2]").unwrap(), None), None);
        assert_eq!(
            compress(&RawJson::parse(&format!("[\"{}\"]", BASE64.encode([7; 30]))).unwrap(), None),
            None
        );
    }

    #[test]
    fn a_job_without_an_encoding_stays_as_it_is() {
        for custom in ["{}", r#"{"k":1}"#, r#"{"wf":{"v":1},"x":1e999}"#] {
            let mut job = job("[1]", custom);
            let before = job.clone();
            unpack(&mut job).unwrap();
            assert_eq!(job, before);
        }
    }

    #[test]
    fn an_unknown_form_is_an_error_that_names_what_is_unknown() {
        let many = format!(
            "{{{}\"wf\":{{\"v\":2}}}}",
            (0..300).map(|number| format!("\"m{number}\":1,")).collect::<String>()
        );
        for (custom, expected) in [
            (r#"{"x":1e999,"wf":{"v":2}}"#, "version 2 of custom.wf"),
            (many.as_str(), "version 2 of custom.wf"),
            (r#"{"wf":7}"#, "this form of custom.wf"),
            (r#"{"wf":{}}"#, "version none"),
            (r#"{"wf":{"v":1,"encoding":"zstd"}}"#, "the encoding \"zstd\""),
            // The size of what is unpacked is looked up by this name as it is written.
            (r#"{"wf":{"v":1,"encoding":"zstd\u002dbase64","bytes":3}}"#, "the encoding"),
            (r#"{"wf":{"v":1,"encoding":7}}"#, "the encoding 7"),
            (r#"{"wf":{"v":1,"key":"k1"}}"#, "the member \"key\""),
        ] {
            let text = error(job("[1]", custom));
            assert!(text.starts_with("unknown: ") && text.contains(expected), "{custom}: {text}");
        }
    }

    #[test]
    fn a_compression_bomb_is_not_unpacked_beyond_its_promised_size() {
        let zeros = vec![b' '; UNPACKED_BYTES_MAX + 1];
        assert!(error(packed(&zeros, 1000)).contains("have more bytes instead of the 1000"));
        assert!(
            error(packed(&zeros, UNPACKED_BYTES_MAX + 1)).contains("at most 67108864 are accepted")
        );
        assert!(error(packed(b"[1]", 10)).contains("have 3 bytes instead of the 10"));
        // A frame that asks for 128 MiB of memory.
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        std::io::Write::write_all(&mut encoder, b"[1]").unwrap();
        let frame = BASE64.encode(encoder.finish().unwrap());
        let job =
            job(&format!("[\"{frame}\"]"), r#"{"wf":{"v":1,"encoding":"zstd-base64","bytes":3}}"#);
        assert!(error(job).contains("not a zstd frame"));
    }

    #[test]
    fn broken_args_are_an_error_that_names_the_fault() {
        let wf = r#"{"wf":{"v":1,"encoding":"zstd-base64","bytes":3}}"#;
        for (job, expected) in [
            (job("[1]", wf), "are not one string"),
            (job(r#"["a","b"]"#, wf), "are not one string"),
            (job(r#"["?"]"#, wf), "are not base64"),
            (job(r#"["YWJj"]"#, wf), "are not a zstd frame"),
            (job(r#"[""]"#, wf), "are not a zstd frame"),
            (packed(b"[1,", 3), "not valid JSON"),
            (packed(b"{} ", 3), "are not a JSON array"),
            (packed(b"\xff\xff\xff", 3), "are not UTF-8"),
            (job("[1]", r#"{"wf":{"v":1,"encoding":"zstd-base64"}}"#), "custom.wf.bytes"),
            (
                job("[1]", r#"{"wf":{"v":1,"encoding":"zstd-base64","bytes":-1}}"#),
                "custom.wf.bytes",
            ),
        ] {
            let text = error(job);
            assert!(text.starts_with("broken: ") && text.contains(expected), "{expected}: {text}");
        }
    }
}
