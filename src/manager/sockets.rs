//! The labels of sockets that a thread makes.

use super::Manager;
use crate::child::SocketOf;
use crate::domain::Domain;
use crate::sys::raw;

impl Manager {
    /// Labels the sockets that the calling thread makes from now on. May run between fork and exec: no
    /// lock, no allocation. A negated errno on failure.
    pub fn set_security_socket_label(&self, domain: &Domain, of: SocketOf) -> Result<(), i32> {
        domain.plan().with(|plan| plan.map_or(Err(-libc::ENODATA), |plan| plan.label_sockets(self.id, of)))
    }

    /// Sockets that the calling thread makes from now on get the usual labels again. May run between fork
    /// and exec, as above.
    pub fn clear_security_socket_label(&self) -> Result<(), i32> {
        let files = self.drivers.iter().filter_map(|driver| driver.socket_attribute());
        files.into_iter().try_for_each(|file| raw::write_file(file, b""))
    }

    /// Makes sure that the domain has its labels in this handle, so that its sockets can be labelled.
    pub fn ready_for_sockets(&self, domain: &Domain) -> crate::error::Result<()> {
        self.check_process()?;
        let definition = &mut *domain.lock()?;
        self.claim(domain, definition)
    }
}
