//! Which PUSHBs are large: the bytes of all parts of their jobs count.

use faktory_wire::Reply;

use super::World;

/// The members of a job, of which one is large.
fn job(number: usize, member: &str, bytes: usize) -> String {
    let long = "x".repeat(bytes);
    let value = match member {
        "args" => format!(r#"["{long}"]"#),
        "custom" => format!(r#"{{"x":"{long}"}}"#),
        _ => format!(r#""{long}""#),
    };
    let others = [("jobtype", r#""t""#), ("args", "[]")].map(|(name, value)| {
        if name == member { String::new() } else { format!(r#","{name}":{value}"#) }
    });
    format!(r#"{{"jid":"job-{number:08}","{member}":{value}{}}}"#, others.concat())
}

#[test]
fn a_pushb_is_large_whatever_part_of_its_jobs_has_the_bytes() {
    for member in ["jobtype", "args", "custom", "created_at"] {
        let slices = |bytes: usize| {
            let mut world = World::new();
            world.syncs = false;
            let jobs: Vec<_> = (0..40).map(|number| job(number, member, bytes)).collect();
            let line = format!("PUSHB [{}]", jobs.join(","));
            let (reply, slices) = world.ask_in_slices(&line, 4 << 20);
            assert!(matches!(reply, Reply::Bulk(_)), "{reply:?}");
            slices
        };
        assert_eq!(slices(1 << 10), 1, "{member}: one atomic write");
        assert!(slices(100 << 10) > 1, "{member}: others have their turn in between");
    }
}
