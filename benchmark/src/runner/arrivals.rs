//! The look at the jobs that arrived in a queue, after a load.

use anyhow::bail;

use crate::part::order::{Attend, Attended};
use crate::report::Run;
use crate::stack::Stack;

/// The most jobs that are looked at one by one; of more jobs, only the number is compared.
const LOOK_AT_EACH: u64 = 60_000;

/// Looks at the jobs that arrived, and removes the queue.
pub(super) fn look_at_each(stack: &mut Stack, queue: &str, run: &mut Run) -> anyhow::Result<()> {
    let size = stack.queue_size(queue)?;
    run.counts.arrived = size;
    if size <= LOOK_AT_EACH {
        match stack.attend(&Attend::Drain { queue: queue.into() })? {
            Attended::Drained { jobs, distinct } => {
                run.counts.arrived = jobs;
                run.counts.distinct = Some(distinct);
            }
            other => bail!("the attendant answered {other:?}"),
        }
    }
    stack.clear_away(queue)?;
    check(run);
    Ok(())
}

/// Compares the number of jobs in the queue, and removes the queue.
pub(super) fn count(stack: &mut Stack, queue: &str, run: &mut Run) -> anyhow::Result<()> {
    run.counts.arrived = stack.queue_size(queue)?;
    stack.clear_away(queue)?;
    check(run);
    Ok(())
}

/// Compares the number of jobs in all queues, and removes these queues.
pub(super) fn count_all(stack: &mut Stack, queue: &str, run: &mut Run) -> anyhow::Result<()> {
    match stack.attend(&Attend::SizeOfAll)? {
        Attended::Size(size) => run.counts.arrived = size,
        other => bail!("the attendant answered {other:?}"),
    }
    stack.clear_away(queue)?;
    check(run);
    Ok(())
}

/// Every job that was answered as stored must have arrived, exactly once.
fn check(run: &mut Run) {
    let counts = run.counts;
    let different = counts.distinct.unwrap_or(counts.arrived);
    if different < counts.stored {
        run.failures.push(format!("{} jobs were lost", counts.stored - different));
    }
    if counts.arrived > counts.stored + counts.unknown {
        run.failures.push(format!(
            "{} jobs arrived that were not answered as stored",
            counts.arrived - counts.stored - counts.unknown
        ));
    }
    if counts.arrived > different {
        run.failures.push(format!("{} jobs were doubled", counts.arrived - different));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Counts;

    fn failures(stored: u64, unknown: u64, arrived: u64, distinct: Option<u64>) -> Vec<String> {
        let mut run = Run {
            counts: Counts { stored, unknown, not_stored: 0, arrived, distinct },
            ..Run::default()
        };
        check(&mut run);
        run.failures
    }

    #[test]
    fn a_lost_or_doubled_job_fails_the_run() {
        assert!(failures(10, 0, 10, Some(10)).is_empty());
        assert!(failures(10, 2, 11, Some(11)).is_empty(), "an unknown job arrived");
        assert!(failures(10, 0, 10, None).is_empty());
        assert_eq!(failures(10, 0, 9, Some(9)), ["1 jobs were lost"]);
        assert_eq!(failures(10, 0, 9, None), ["1 jobs were lost"]);
        assert_eq!(
            failures(10, 0, 10, Some(9)),
            ["1 jobs were lost", "1 jobs were doubled"],
            "the doubled job makes up for the lost job in the number"
        );
        assert_eq!(
            failures(10, 0, 11, Some(10)),
            ["1 jobs arrived that were not answered as stored", "1 jobs were doubled"]
        );
    }
}
