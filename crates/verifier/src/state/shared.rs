//! Parts of states that are shared until one of them changes, and whose memory is used again.
//!
//! States come and go by the thousand, most of them as copies of which a little changes: what one leaves the next one takes.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::thread::LocalKey;

/// Memory that waits to be used again.
pub(crate) type Pool<T> = RefCell<Vec<Rc<T>>>;

/// So much of a kind waits at most.
const WAITING: usize = 64;

/// What can be used again.
pub trait Reuse: Clone + 'static {
    /// Where it waits.
    fn pool() -> &'static LocalKey<Pool<Self>>;

    /// Gives back what it holds of others, and counts for nothing any more.
    fn empty(&mut self);
}

/// Shared until it changes.
#[derive(Clone, Debug)]
pub struct Shared<T: Reuse>(
    /// Nothing only while it is dropped.
    Option<Rc<T>>,
);

impl<T: Reuse> Shared<T> {
    /// Not shared yet.
    pub(crate) fn new(value: T) -> Shared<T> {
        Shared(Some(Rc::new(value)))
    }

    /// To change it, a copy if others have it as well.
    #[inline]
    pub fn make_mut(&mut self) -> &mut T {
        if self.0.as_mut().is_none_or(|held| Rc::get_mut(held).is_none()) {
            *self = self.copied();
        }
        match self.0.as_mut().and_then(Rc::get_mut) {
            Some(own) => own,
            None => unreachable!("a copy is not shared"),
        }
    }

    fn copied(&self) -> Shared<T> {
        let used = T::pool().try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
        if let Some(mut used) = used
            && let Some(own) = Rc::get_mut(&mut used)
        {
            own.clone_from(self);
            return Shared(Some(used));
        }
        Shared::new((**self).clone())
    }
}

impl<T: Reuse> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.0 {
            Some(held) => held,
            None => unreachable!("it is nothing only while it is dropped"),
        }
    }
}

impl<T: Reuse> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(mut held) = self.0.take()
            && let Some(own) = Rc::get_mut(&mut held)
        {
            own.empty();
            // Without a pool any more, the thread ends.
            let _ = T::pool().try_with(|pool| {
                let mut pool = pool.borrow_mut();
                if pool.len() < WAITING {
                    pool.push(held);
                }
            });
        }
    }
}

/// Gives back what waits.
pub(crate) fn release<T: Reuse>() {
    let waiting = T::pool().try_with(|pool| std::mem::take(&mut *pool.borrow_mut()));
    drop(waiting);
}
