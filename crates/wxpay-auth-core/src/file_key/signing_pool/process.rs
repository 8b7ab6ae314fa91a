//! Each process has its own pool, including a forked one.
//!
//! In a child only the thread that forked exists: signatures that were in progress in the parent would be
//! counted forever, and its locks held forever. So the child never touches the parent's pool.

use std::sync::OnceLock;

use super::SigningPool;

/// The pool of a process, and that of its child after a fork.
struct Process {
    id: u32,
    pool: SigningPool,
    child: OnceLock<Box<Process>>,
}

impl Process {
    fn new(id: u32) -> Self {
        Self { id, pool: SigningPool::new(), child: OnceLock::new() }
    }

    /// Returns the pool of the youngest process if it has this id, and creates a new one otherwise.
    fn pool_of(&self, id: u32) -> &SigningPool {
        let mut youngest = self;
        loop {
            youngest = match youngest.child.get() {
                Some(child) => child,
                None if youngest.id == id => return &youngest.pool,
                // The value is built first, so that a fork cannot interrupt its initialisation.
                None => {
                    let child = Box::new(Self::new(id));
                    youngest.child.get_or_init(|| child)
                }
            }
        }
    }
}

/// Returns the pool of the process with this id, which must be the current one.
pub(super) fn pool_of(id: u32) -> &'static SigningPool {
    static FIRST: OnceLock<Process> = OnceLock::new();
    let first = FIRST.get().unwrap_or_else(|| {
        let first = Process::new(id);
        FIRST.get_or_init(|| first)
    });
    first.pool_of(id)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn a_child_begins_anew_and_its_child_too() {
        let parent = Process::new(7);
        let pool = parent.pool_of(7);
        pool.busy.store(3, Ordering::Relaxed);
        assert!(std::ptr::eq(pool, parent.pool_of(7)));
        let child = parent.pool_of(8);
        assert!(!std::ptr::eq(pool, child));
        assert_eq!(child.busy.load(Ordering::Relaxed), 0);
        assert!(std::ptr::eq(child, parent.pool_of(8)));
        // The id of a process that has ended is used again.
        let grandchild = parent.pool_of(7);
        assert!(!std::ptr::eq(pool, grandchild));
        assert_eq!(grandchild.busy.load(Ordering::Relaxed), 0);
        assert!(std::ptr::eq(grandchild, parent.pool_of(7)));
    }
}
