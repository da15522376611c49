//! Any sequence of calls on handles, NULL among the arguments: no call crashes, hangs or leaves rubbish in
//! what it gives back.
#![no_main]
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::ffi::{CStr, CString, c_char};
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
                Call::Texts(which) => {
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
