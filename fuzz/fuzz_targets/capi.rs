//! Any sequence of calls on handles, NULL among the arguments: no call crashes, hangs or leaves rubbish in
//! what it gives back.
#![no_main]
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{null, null_mut};
use svirt::capi::*;

#[derive(Arbitrary, Debug)]
enum Call {
    Option(Text, Text),
    Open(u8),
    Close,
    FromXml(Text),
    New(Text, u8, Text),
    Add(i32, u8, u32),
    Seclabel(u8, i32, Text, i32),
    Gen,
    Release,
    SetAll(u32),
    RestoreAll(u32),
    Reserve(i32),
    Verify,
    Check(i32),
    Process(u8, i32),
    Set(i32, u8, u32),
    Restore(i32, u8, u32),
    Move(u8, u8),
    Descriptor(i32, i32),
    Sockets(u8),
    Start,
    Commit,
    Abort,
    Reconcile(u8),
    Texts(u8),
    Free,
    Device(bool, Text),
    Disk(bool, u8, u8),
    Images(u8),
    Log(bool),
    Child,
}

/// Text for C; `None` is NULL.
#[derive(Arbitrary, Debug)]
struct Text(Option<Vec<u8>>);

impl Text {
    fn c(&self) -> Option<CString> {
        let bytes = self.0.as_ref()?;
        CString::new(bytes.iter().copied().filter(|b| *b != 0).collect::<Vec<u8>>()).ok()
    }
}

fn pointer(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(null(), |text| text.as_ptr())
}

const MODELS: [Option<&CStr>; 5] = [None, Some(c"dac"), Some(c"none"), Some(c"selinux"), Some(c"")];
const UUIDS: [Option<&CStr>; 4] = [
    Some(c"0b15ad3c-11f4-4b0c-a8e2-00000000000a"),
    Some(c"0b15ad3c-11f4-4b0c-a8e2-00000000000b"),
    Some(c"not a uuid"),
    None,
];

fn one(list: &[Option<&CStr>], at: u8) -> *const c_char {
    list[usize::from(at) % list.len()].map_or(null(), CStr::as_ptr)
}

/// Files of the sandbox, and paths that are none.
fn path(at: u8) -> CString {
    let folder = folder();
    let text = match at % 6 {
        0 => format!("{folder}/a"),
        1 => format!("{folder}/b"),
        2 => format!("{folder}/missing"),
        3 => folder.to_owned(),
        4 => "relative".to_owned(),
        _ => format!("{folder}/link"),
    };
    CString::new(text).expect("no NUL")
}

fn folder() -> &'static str {
    static FOLDER: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder").keep();
        for name in ["a", "b"] {
            std::fs::write(folder.join(name), name).expect("a file");
        }
        std::os::unix::fs::symlink("a", folder.join("link")).expect("a link");
        folder.to_str().expect("text").to_owned()
    })
}

/// A disk as libvirt writes it, of whatever kind its file is.
fn disk(at: u8, more: u8) -> CString {
    let more = ["", "<readonly/>", "<shareable/>", "<driver type='qcow2'/>"][usize::from(more) % 4];
    let file = path(at).into_string().expect("text");
    CString::new(format!("<disk type='file'><source file='{file}'/><target dev='vdb'/>{more}</disk>"))
        .expect("no NUL")
}

extern "C" fn visit(image: *const svirt_image, opaque: *mut c_void) -> i32 {
    // SAFETY: the image is complete until this returns, and `opaque` is the number that was given.
    unsafe {
        let image = &*image;
        assert!(image.size >= size_of::<svirt_image>() && image.holders > 0);
        for text in [image.path, image.model, image.label, *image.holder_uuids] {
            assert!(!CStr::from_ptr(text).is_empty());
        }
        *opaque.cast::<i32>() -= 1;
        *opaque.cast::<i32>()
    }
}

extern "C" fn handler(level: i32, message: *const c_char, _: *mut c_void) {
    // SAFETY: the message ends in NUL.
    unsafe { assert!((0..=3).contains(&level) && !CStr::from_ptr(message).is_empty()) };
}

/// Every failure comes with an error object that says something.
fn check(result: i32, error: *mut svirt_error) {
    assert_eq!(result < 0, !error.is_null());
    if !error.is_null() {
        // SAFETY: the error was given by the call before and is freed once.
        unsafe {
            assert_eq!(svirt_error_number(error), -result);
            assert!(!CStr::from_ptr(svirt_error_message(error)).is_empty());
            svirt_error_path(error);
            svirt_error_free(error);
        }
    }
}

/// The child step ends, and says how: by 0 or an errno.
///
/// # Safety
/// As for the call.
unsafe fn in_child(manager: *mut svirt_manager, domain: *mut svirt_domain) {
    // SAFETY: the child makes the one call that it may make, and ends.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0);
        if child == 0 {
            libc::_exit(i32::from(svirt_domain_set_security_process_label(manager, domain) > 0));
        }
        let mut status = -1;
        // The fuzzer's own alarm may come meanwhile.
        while libc::waitpid(child, &mut status, 0) < 0 {
            assert_eq!(std::io::Error::last_os_error().kind(), std::io::ErrorKind::Interrupted);
        }
        assert_eq!(status, 0);
    }
}

fuzz_target!(|calls: Vec<Call>| {
    // SAFETY: handles are NULL or live, texts end in NUL and outlive the call.
    unsafe { play(&calls) }
});

unsafe fn play(calls: &[Call]) {
    let mut manager: *mut svirt_manager = null_mut();
    let mut domain: *mut svirt_domain = null_mut();
    let options = svirt_options_new();
    for (name, value) in [("runtime_dir", folder()), ("state_dir", folder()), ("owner", "fuzz")] {
        let (name, value) = (CString::new(name).unwrap(), CString::new(value).unwrap());
        unsafe { assert_eq!(svirt_options_set(options, name.as_ptr(), value.as_ptr(), null_mut()), 0) };
    }
    unsafe { svirt_options_set(options, c"dac.uid_range".as_ptr(), c"5000-5007".as_ptr(), null_mut()) };
    for call in calls.iter().take(64) {
        let mut error = null_mut();
        let e = &raw mut error;
        // SAFETY: as above.
        let result = unsafe {
            match call {
                Call::Option(name, value) => {
                    let (name, value) = (name.c(), value.c());
                    let mine = svirt_options_new();
                    let result = svirt_options_set(mine, pointer(&name), pointer(&value), e);
                    svirt_options_free(mine);
                    result
                }
                Call::Open(which) => {
                    if !manager.is_null() {
                        continue;
                    }
                    let stacks: [Option<&CStr>; 5] =
                        [Some(c"dac"), Some(c"none"), Some(c"dac,none"), Some(c"dac,dac"), Some(c"?")];
                    svirt_manager_open(one(&stacks, *which), options, &mut manager, e)
                }
                Call::Close => {
                    svirt_manager_close(manager);
                    manager = null_mut();
                    continue;
                }
                Call::FromXml(xml) => {
                    svirt_domain_free(domain);
                    svirt_domain_from_xml(pointer(&xml.c()), &mut domain, e)
                }
                Call::New(name, uuid, kind) => {
                    svirt_domain_free(domain);
                    let (name, kind) = (name.c(), kind.c());
                    svirt_domain_new(pointer(&name), one(&UUIDS, *uuid), pointer(&kind), &mut domain, e)
                }
                Call::Add(kind, at, flags) => {
                    svirt_domain_add_resource(domain, *kind, path(*at).as_ptr(), *flags, e)
                }
                Call::Seclabel(model, kind, label, relabel) => svirt_domain_set_seclabel(
                    domain,
                    one(&MODELS, *model),
                    *kind,
                    pointer(&label.c()),
                    *relabel,
                    e,
                ),
                Call::Gen => svirt_domain_gen_security_label(manager, domain, e),
                Call::Release => svirt_domain_release_security_label(manager, domain, e),
                Call::SetAll(flags) => svirt_domain_set_security_all_label(manager, domain, *flags, e),
                Call::RestoreAll(flags) => {
                    svirt_domain_restore_security_all_label(manager, domain, *flags, e)
                }
                Call::Reserve(pid) => svirt_domain_reserve_security_label(manager, domain, *pid, e),
                Call::Verify => svirt_domain_verify_security_label(manager, domain, e),
                Call::Check(pid) => svirt_domain_check_security_process_label(manager, domain, *pid, e),
                Call::Process(model, pid) => {
                    let mut label: svirt_process_label = std::mem::zeroed();
                    let model = one(&MODELS, *model);
                    svirt_domain_get_security_process_label(manager, domain, model, *pid, &mut label, e)
                }
                Call::Set(kind, at, flags) => svirt_domain_set_security_resource_label(
                    manager,
                    domain,
                    *kind,
                    path(*at).as_ptr(),
                    *flags,
                    e,
                ),
                Call::Restore(kind, at, flags) => svirt_domain_restore_security_resource_label(
                    manager,
                    domain,
                    *kind,
                    path(*at).as_ptr(),
                    *flags,
                    e,
                ),
                Call::Move(from, to) => {
                    svirt_domain_move_image(manager, domain, path(*from).as_ptr(), path(*to).as_ptr(), e)
                }
                Call::Descriptor(fd, kind) => svirt_domain_set_security_fd_label(
                    manager,
                    domain,
                    // Never one of the fuzzer's own.
                    if (0..1024).contains(fd) { -1 } else { *fd },
                    *kind,
                    e,
                ),
                Call::Sockets(which) => match which % 3 {
                    0 => svirt_domain_set_security_socket_label(manager, domain, e),
                    1 => svirt_domain_set_security_daemon_socket_label(manager, domain, e),
                    _ => svirt_domain_clear_security_socket_label(manager, domain, e),
                },
                Call::Start => svirt_manager_transaction_start(manager, e),
                Call::Commit => svirt_manager_transaction_commit(manager, -1, e),
                Call::Abort => {
                    svirt_manager_transaction_abort(manager);
                    continue;
                }
                Call::Reconcile(uuid) => {
                    let list = [one(&UUIDS, *uuid)];
                    svirt_manager_reconcile(manager, list.as_ptr(), usize::from(uuid & 1), e)
                }
                Call::Device(true, xml) => {
                    svirt_domain_set_security_device_label(manager, domain, pointer(&xml.c()), e)
                }
                Call::Device(false, xml) => {
                    svirt_domain_restore_security_device_label(manager, domain, pointer(&xml.c()), e)
                }
                Call::Disk(true, at, more) => {
                    svirt_domain_set_security_device_label(manager, domain, disk(*at, *more).as_ptr(), e)
                }
                Call::Disk(false, at, more) => {
                    svirt_domain_restore_security_device_label(manager, domain, disk(*at, *more).as_ptr(), e)
                }
                Call::Images(most) => {
                    let mut left = i32::from(*most);
                    svirt_manager_foreach_image(
                        manager,
                        (most % 2 == 0).then_some(visit),
                        (&raw mut left).cast(),
                    );
                    continue;
                }
                Call::Log(on) => {
                    svirt_set_log_handler(on.then_some(handler), null_mut());
                    continue;
                }
                Call::Child => {
                    in_child(manager, domain);
                    continue;
                }
                Call::Texts(which) => {
                    assert_ne!(svirt_version(), 0);
                    svirt_string_free(svirt_manager_doi(manager, usize::from(*which)));
                    let model = one(&MODELS, *which);
                    svirt_string_free(svirt_domain_label(domain, model));
                    svirt_string_free(svirt_domain_image_label(domain, model));
                    svirt_string_free(svirt_domain_to_xml(domain));
                    svirt_string_free(svirt_domain_security_mount_options(manager, domain));
                    svirt_string_free(svirt_manager_model(manager, usize::from(*which)));
                    svirt_string_free(svirt_manager_base_label(manager, model, null()));
                    continue;
                }
                Call::Free => {
                    svirt_domain_free(domain);
                    domain = null_mut();
                    continue;
                }
            }
        };
        check(result, error);
    }
    // SAFETY: as above; nothing is used again.
    unsafe {
        svirt_manager_transaction_abort(manager);
        svirt_domain_restore_security_all_label(manager, domain, 0, null_mut());
        svirt_domain_release_security_label(manager, domain, null_mut());
        svirt_domain_free(domain);
        svirt_manager_close(manager);
        svirt_options_free(options);
    }
}
