//! Two guests confined by Landlock on this very kernel: what is theirs works, everything else is refused.
//!
//! As root, every test also runs as an ordinary user, in a copy of this program started by setpriv.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use svirt::domain::{Definition, Domain, Flags, Kind, Resource, xml};
use svirt::manager::Manager;
use svirt::options::Options;

const QEMU: &str = "/usr/bin/qemu-system-x86_64";
const PYTHON: &str = "/usr/bin/python3";

fn root() -> bool {
    // SAFETY: the call has no conditions.
    unsafe { libc::geteuid() == 0 }
}

/// The version of Landlock that this kernel has.
fn abi() -> i64 {
    // SAFETY: with this flag the call only answers a question.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0_usize, 0_usize, 1) }
}

/// Runs this test again as user nobody.
fn again_as_nobody(test: &str) {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("test");
    // By another process: a child that a test forks here would keep the copy open for writing.
    assert!(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status().unwrap().success());
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(copy)
        .args(["--exact", test])
        .env("TMPDIR", "/tmp")
        .output()
        .unwrap();
    assert!(output.status.success(), "as nobody: {output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "as nobody: {output:?}");
}

/// The images of two guests in one folder.
struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // What a guest with a user of its own passes through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        for name in ["a.img", "b.img", "shared.iso"] {
            fs::write(folder.path().join(name), vec![0x5a_u8; 1 << 20]).unwrap();
            fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn manager(&self, drivers: &str, options: &[(&str, &str)]) -> Arc<Manager> {
        let mut all = Options::default();
        for directory in ["runtime_dir", "state_dir"] {
            all.set(directory, self.path(directory).to_str().unwrap()).unwrap();
        }
        for (name, value) in options {
            all.set(name, value).unwrap();
        }
        Arc::new(Manager::open(Some(drivers), &all).unwrap())
    }

    fn guest(&self, name: &str, emulator: &str) -> Arc<Domain> {
        let xml = format!(
            "<domain type='qemu'><name>{name}</name><uuid>0b15ad3c-11f4-4b0c-a8e2-00000000000{name}</uuid>
            <devices><emulator>{emulator}</emulator>
            <disk type='file' device='disk'><source file='{}'/></disk>
            <disk type='file' device='cdrom'><source file='{}'/><readonly/></disk>
            </devices></domain>",
            self.path(&format!("{name}.img")).display(),
            self.path("shared.iso").display()
        );
        Arc::new(Domain::new(xml::from_xml(&xml).unwrap()))
    }

    /// A guest that is ready to be started.
    fn ready(&self, manager: &Manager, name: &str, emulator: &str) -> Arc<Domain> {
        let guest = self.guest(name, emulator);
        manager.gen_security_label(&guest).unwrap();
        manager.set_security_all_label(&guest).unwrap();
        guest
    }
}

/// A command that confines itself as a guest before it runs.
fn confined(manager: &Arc<Manager>, guest: &Arc<Domain>, program: &str) -> Command {
    let (manager, guest) = (Arc::clone(manager), Arc::clone(guest));
    let mut command = Command::new(program);
    command.env_clear();
    let step =
        move || manager.set_security_process_label(&guest).map_err(|e| io::Error::from_raw_os_error(-e));
    // SAFETY: the child step is made for this place.
    unsafe { command.pre_exec(step) };
    command
}

/// What a program says that stops with the errno of the first error.
fn errno_of(manager: &Arc<Manager>, guest: &Arc<Domain>, python: &str) -> (Option<i32>, Output) {
    let script = format!(
        "import os,socket,signal,sys,stat,fcntl\ntry:\n {}\nexcept OSError as e:\n sys.exit(e.errno)\n",
        python.replace('\n', "\n ")
    );
    let output = confined(manager, guest, PYTHON).args(["-I", "-S", "-c", &script]).output().unwrap();
    (output.status.code(), output)
}

fn qemu(manager: &Arc<Manager>, guest: &Arc<Domain>, drives: &[String]) -> Command {
    let mut command = confined(manager, guest, QEMU);
    command.args(["-machine", "pc", "-accel", "tcg", "-m", "32", "-nodefaults", "-display", "none"]);
    command.args(["-S", "-monitor", "stdio"]);
    command.args(drives.iter().flat_map(|drive| ["-drive", drive]));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Says something to qemu's monitor, then leaves.
fn ask(mut qemu: Child, words: &str) -> Output {
    use std::io::Write;
    let mut monitor = qemu.stdin.take().unwrap();
    let _ = monitor.write_all(format!("{words}\nquit\n").as_bytes());
    drop(monitor);
    qemu.wait_with_output().unwrap()
}

fn drive(path: &Path, readonly: bool) -> String {
    let how = if readonly { ",readonly=on,media=cdrom" } else { "" };
    format!("file={},format=raw,if=ide{how}", path.display())
}

#[test]
fn real_guests_use_what_is_theirs_and_nothing_else() {
    let host = Host::new();
    let manager = host.manager("landlock", &[]);
    let (a, b) = (host.ready(&manager, "a", QEMU), host.ready(&manager, "b", QEMU));
    let iso = host.path("shared.iso");
    for (guest, own) in [(&a, "a.img"), (&b, "b.img")] {
        let child =
            qemu(&manager, guest, &[drive(&host.path(own), false), drive(&iso, true)]).spawn().unwrap();
        manager.check_security_process_label(guest, child.id() as i32).unwrap();
        let live = manager.get_security_process_label(None, child.id() as i32).unwrap();
        assert_eq!(Some(live.label), guest.lock().unwrap().seclabel("landlock").unwrap().label);
        let other = if own == "a.img" { &b } else { &a };
        let wrong = manager.check_security_process_label(other, child.id() as i32).unwrap_err();
        assert_eq!(wrong.errno(), libc::EPERM, "{wrong}");
        let output = ask(child, "qemu-io ide0-hd0 \"write -P 0x11 0 4096\"");
        assert!(output.status.success(), "{output:?}");
        assert!(fs::read(host.path(own)).unwrap().starts_with(&[0x11; 4096]));
    }
    for (path, readonly) in [("b.img", false), ("b.img", true), ("shared.iso", false)] {
        let output = ask(qemu(&manager, &a, &[drive(&host.path(path), readonly)]).spawn().unwrap(), "");
        assert!(!output.status.success(), "{path} {readonly}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{output:?}");
    }
    again_as_nobody("real_guests_use_what_is_theirs_and_nothing_else");
}

#[test]
fn whatever_a_taken_over_emulator_tries_is_refused() {
    let host = Host::new();
    let manager = host.manager("landlock", &[]);
    let a = host.ready(&manager, "a", PYTHON);
    let abstract_name = format!("svirt-test-{}", std::process::id());
    let _listener =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (folder, daemon) = (host.folder.path().display(), std::process::id());
    let port = tcp.local_addr().unwrap().port();
    const NO: i32 = libc::EACCES;
    // What an older kernel lacks is not refused there; docs/landlock.md says so, and so does the log.
    let since = |version, errno| if abi() >= version { errno } else { 0 };
    for (what, wanted, script) in [
        ("its own disk", 0, format!("f=os.open('{folder}/a.img',os.O_RDWR); os.write(f,b'x'); os.ftruncate(f,1<<20)")),
        ("the shared ISO", 0, format!("os.read(os.open('{folder}/shared.iso',os.O_RDONLY),9)")),
        ("its own /proc", 0, "open('/proc/self/status').read(); open('/proc/%d/maps'%os.getpid()).read(); os.listdir('/proc/self/task')".into()),
        ("no ruleset among its descriptors", 0, "sys.exit(any('landlock' in os.readlink(f'/proc/self/fd/{n}') for n in range(99) if os.path.lexists(f'/proc/self/fd/{n}')))".into()),
        ("/dev/null", 0, "os.write(os.open('/dev/null',os.O_RDWR),b'x')".into()),
        ("/dev/urandom", 0, "os.read(os.open('/dev/urandom',os.O_RDONLY),9)".into()),
        ("name service", 0, "open('/etc/hosts').read(); open('/etc/nsswitch.conf').read()".into()),
        ("TCP", 0, format!("socket.create_connection(('127.0.0.1',{port}))")),
        ("a signal to itself", 0, "os.kill(os.getpid(),0)".into()),
        ("the other guest's disk", NO, format!("os.open('{folder}/b.img',os.O_RDWR)")),
        ("reading it", NO, format!("os.open('{folder}/b.img',os.O_RDONLY)")),
        ("truncating it", since(3, NO), format!("os.truncate('{folder}/b.img',0)")),
        ("writing the ISO", NO, format!("os.open('{folder}/shared.iso',os.O_WRONLY)")),
        ("listing the images", NO, format!("os.listdir('{folder}')")),
        ("a file beside them", NO, format!("os.open('{folder}/new',os.O_CREAT|os.O_WRONLY)")),
        ("a hard link to its disk", NO, format!("os.link('{folder}/a.img','{folder}/link')")),
        ("removing its disk", NO, format!("os.unlink('{folder}/a.img')")),
        ("renaming its disk", NO, format!("os.rename('{folder}/a.img','{folder}/c')")),
        ("/etc/shadow", NO, "os.open('/etc/shadow',os.O_RDONLY)".into()),
        ("listing /etc", NO, "os.listdir('/etc')".into()),
        ("listing /", NO, "os.listdir('/')".into()),
        ("a file in /tmp", NO, "os.open('/tmp/svirt-new',os.O_CREAT|os.O_WRONLY)".into()),
        ("writing a library", NO, "os.open('/usr/lib/svirt-new',os.O_CREAT|os.O_WRONLY)".into()),
        ("the daemon's memory", NO, format!("os.open('/proc/{daemon}/mem',os.O_RDWR)")),
        ("the daemon's environment", NO, format!("os.open('/proc/{daemon}/environ',os.O_RDONLY)")),
        ("the daemon's command line", NO, format!("os.open('/proc/{daemon}/cmdline',os.O_RDONLY)")),
        ("executing a shell", NO, "os.execv('/bin/sh',['sh','-c',':'])".into()),
        ("executing qemu", NO, format!("os.execv('{QEMU}',['qemu','--version'])")),
        ("/dev/kvm without type kvm", if Path::new("/dev/kvm").exists() { NO } else { libc::ENOENT }, "os.open('/dev/kvm',os.O_RDWR)".into()),
        ("a terminal", NO, "os.open('/dev/ptmx',os.O_RDWR)".into()),
        ("a new device node", NO, format!("os.mknod('{folder}/dev',stat.S_IFCHR|0o600,os.makedev(1,3))")),
        ("a new fifo", NO, format!("os.mkfifo('{folder}/fifo')")),
        ("a symbolic link", NO, format!("os.symlink('/','{folder}/link')")),
        ("a signal to the daemon", since(6, libc::EPERM), format!("os.kill({daemon},0)")),
        ("an abstract socket of the daemon", since(6, libc::EPERM), format!("socket.socket(socket.AF_UNIX).connect('\\0{abstract_name}')")),
        ("mounting", libc::EPERM, "import ctypes\nc=ctypes.CDLL(None,use_errno=True)\nc.mount(b'none',b'/mnt',b'tmpfs',0,None)\nraise OSError(ctypes.get_errno(),'')".into()),
    ] {
        let (errno, output) = errno_of(&manager, &a, &script);
        assert_eq!(errno, Some(wanted), "{what}: {output:?}");
    }
    assert!(!host.path("new").exists());
    if abi() >= 3 {
        assert_eq!(fs::metadata(host.path("b.img")).unwrap().len(), 1 << 20);
    }
    again_as_nobody("whatever_a_taken_over_emulator_tries_is_refused");
}

#[test]
fn with_deny_network_there_is_no_tcp() {
    let host = Host::new();
    if abi() < 4 {
        let mut options = Options::default();
        options.set("landlock.deny_network", "yes").unwrap();
        let refused = Manager::open(Some("landlock"), &options).err().unwrap();
        assert_eq!(refused.errno(), libc::ENOTSUP);
        return;
    }
    let manager = host.manager("landlock", &[("landlock.deny_network", "yes")]);
    let a = host.ready(&manager, "a", PYTHON);
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    for script in [
        format!("socket.create_connection(('127.0.0.1',{port}))"),
        "socket.socket().bind(('127.0.0.1',0))".to_owned(),
    ] {
        let (errno, output) = errno_of(&manager, &a, &script);
        assert_eq!(errno, Some(libc::EACCES), "{script}: {output:?}");
    }
    again_as_nobody("with_deny_network_there_is_no_tcp");
}

#[test]
fn a_child_may_be_confined_before_set_all() {
    let host = Host::new();
    let manager = host.manager("landlock", &[]);
    let a = host.guest("a", PYTHON);
    assert!(confined(&manager, &a, PYTHON).arg("-V").output().is_err(), "before gen there is no child step");
    manager.gen_security_label(&a).unwrap();
    let path = host.folder.path().display();
    assert_eq!(errno_of(&manager, &a, &format!("os.open('{path}/a.img',os.O_RDWR)")).0, Some(0));
    assert_eq!(errno_of(&manager, &a, &format!("os.open('{path}/b.img',os.O_RDWR)")).0, Some(libc::EACCES));
    manager.release_security_label(&a).unwrap();
    let error = confined(&manager, &a, PYTHON).arg("-V").output().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENODATA), "after release there is none again");
}

#[test]
fn without_an_emulator_every_qemu_may_be_executed() {
    let host = Host::new();
    let manager = host.manager("landlock", &[]);
    let uuid = "0b15ad3c-11f4-4b0c-a8e2-00000000000c".parse().unwrap();
    let guest = Arc::new(Domain::new(Definition::new("c", uuid, "qemu").unwrap()));
    manager.gen_security_label(&guest).unwrap();
    assert!(confined(&manager, &guest, QEMU).arg("--version").output().unwrap().status.success());
    let error = confined(&manager, &guest, PYTHON).arg("-V").output().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EACCES));
}

#[test]
fn an_emulator_that_daemonizes_stays_confined_and_cannot_be_known() {
    let host = Host::new();
    let manager = host.manager("landlock", &[]);
    let a = host.ready(&manager, "a", PYTHON);
    // The child of the marked process: what is its own, what is not, then it waits to be looked at.
    let script = format!(
        "import os,sys\nif os.fork(): os._exit(0)\ntry:\n open('{}')\nexcept OSError as e: print(os.getpid(), e.errno, flush=True)\nsys.stdin.read()",
        host.path("b.img").display()
    );
    let mut child = confined(&manager, &a, PYTHON)
        .args(["-I", "-S", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (pid, errno) = line.trim().split_once(' ').unwrap();
    assert_eq!(errno, libc::EACCES.to_string());
    let error = manager.check_security_process_label(&a, pid.parse().unwrap()).unwrap_err();
    assert_eq!(error.errno(), libc::ENOTSUP, "{error}");
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn a_child_that_cannot_restrict_itself_does_not_run() {
    if !root() {
        return;
    }
    let host = Host::new();
    let manager = host.manager("landlock", &[]);
    let a = host.ready(&manager, "a", PYTHON);
    // The plan of a privileged daemon in a child that has given its privileges up.
    let mut command = confined(&manager, &a, PYTHON);
    let error = command.arg("-V").uid(65534).gid(65534).output().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));
}

#[test]
fn with_dac_every_guest_has_a_user_too() {
    if !root() {
        return;
    }
    let host = Host::new();
    let manager = host.manager("landlock,dac", &[("dac.uid_range", "300000-300009")]);
    let (a, b) = (host.ready(&manager, "a", QEMU), host.ready(&manager, "b", QEMU));
    let child =
        qemu(&manager, &a, &[drive(&host.path("a.img"), false), drive(&host.path("shared.iso"), true)])
            .spawn()
            .unwrap();
    manager.check_security_process_label(&a, child.id() as i32).unwrap();
    let live = manager.get_security_process_label(Some("dac"), child.id() as i32).unwrap();
    assert!(live.label.starts_with("+3000"), "{}", live.label);
    let privileges = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    assert!(privileges.contains("NoNewPrivs:\t0"), "a privileged daemon leaves transitions at exec possible");
    assert!(ask(child, "info block").status.success());
    let output = ask(qemu(&manager, &a, &[drive(&host.path("b.img"), true)]).spawn().unwrap(), "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"), "{output:?}");
    for guest in [&a, &b] {
        manager.restore_security_all_label(guest, false).unwrap();
        manager.release_security_label(guest).unwrap();
    }
}

#[test]
fn hot_plug_is_by_descriptor() {
    let host = Host::new();
    let manager = host.manager("landlock", &[]);
    let a = host.ready(&manager, "a", QEMU);
    let child = qemu(&manager, &a, &[drive(&host.path("a.img"), false)]).spawn().unwrap();
    let disk = |name: &str, readonly| {
        Resource::new(Kind::Disk, &host.path(name), Flags { readonly, ..Flags::default() }).unwrap()
    };
    let error = manager.set_security_resource_label(&a, disk("b.img", false)).unwrap_err();
    assert_eq!((error.errno(), error.path()), (libc::ENOTSUP, Some(&*host.path("b.img"))));
    assert!(error.to_string().contains("descriptor"), "{error}");
    assert_eq!(a.lock().unwrap().resources.len(), 2, "what could not be plugged is not in the domain");
    manager.set_security_resource_label(&a, disk("a.img", false)).unwrap();
    manager.restore_security_resource_label(&a, &disk("a.img", false)).unwrap();
    assert!(ask(child, "info block").status.success());
}

#[test]
fn of_a_guest_of_an_earlier_daemon_the_truth_is_told() {
    let host = Host::new();
    let manager = host.manager("landlock", &[]);
    let a = host.ready(&manager, "a", QEMU);
    let child = qemu(&manager, &a, &[drive(&host.path("a.img"), false)]).spawn().unwrap();
    let pid = child.id() as i32;
    let live = xml::to_xml(&a.lock().unwrap()).unwrap();
    let later = host.manager("landlock", &[]);
    let again = Domain::new(xml::from_xml(&live).unwrap());
    later.reserve_security_label(&again, pid).unwrap();
    let error = later.check_security_process_label(&again, pid).unwrap_err();
    assert_eq!(error.errno(), libc::ENOTSUP);
    assert!(error.to_string().contains("cannot be known"), "{error}");
    manager.check_security_process_label(&a, pid).unwrap();
    // Certainly started before the guest.
    let error = manager.check_security_process_label(&a, 1).unwrap_err();
    assert_eq!(error.errno(), libc::EPERM, "that process is not a guest");
    let error = later.set_security_resource_label(
        &again,
        Resource::new(Kind::Disk, &host.path("b.img"), Flags::default()).unwrap(),
    );
    assert_eq!(error.unwrap_err().errno(), libc::ENOTSUP);
    assert!(ask(child, "info block").status.success());
}
