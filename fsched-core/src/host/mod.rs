//! What the machine at hand has that fsched builds on: what the kernel says, and what the processor says of itself. Looking
//! changes nothing.
//!
//! | module | what |
//! | --- | --- |
//! | [`resctrl`] | the kernel's resctrl: whether it is there, how it is mounted, what it offers |
//! | `kernel.rs` | [`Kernel`]: its release, and whether it was built with resctrl |
//! | `processor.rs` | [`Processor`]: vendor, name and features as the kernel shows them |
//! | `cpuid.rs` | [`Claims`]: cache allocation and monitoring as CPUID shows them, where there is x86 |
//! | `mounts.rs` | [`Mount`]: the table of mounts |
//! | `rights.rs` | [`Rights`]: who we are, and what that lets us do |
//! | `confinement.rs` | [`Confinement`]: control groups, landlock, seccomp |
//! | `sys.rs` | the one system call that no library offers |

mod confinement;
mod cpuid;
mod kernel;
mod mounts;
mod processor;
pub mod resctrl;
mod rights;
mod sys;

pub use self::confinement::{Cgroups, Confinement, Landlock};
pub use self::cpuid::{BandwidthClaim, CacheClaim, Claims, MonitoringClaim};
pub use self::kernel::Kernel;
pub use self::mounts::Mount;
pub use self::processor::Processor;
pub use self::rights::Rights;
