# Runs inside the booted kernel as /job/run.sh: what an administrator does with libvirtd and virsh, and after
# every part whether each image is as it was before. /job/settings says DRIVER (libvirt or libsvirt) and LSM.
. /job/settings
passed=0 failed=0 images=/var/lib/libvirt/images part=
step() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        passed=$((passed + 1))
        echo "ok: $part: $name ($(cut -d. -f1 /proc/uptime) s)"
    else
        failed=$((failed + 1))
        echo "FAILED: $part: $name: $*"
        echo "$output" | tail -30
    fi
}
fails() { ! "$@"; }
v() { timeout 120 virsh -q "$@" 2>&1; }

# Name, owner, mode and every attribute of the images.
facts() { (cd $images && for file in *; do echo "$file $(stat -c '%U:%G %a' "$file") $(getfattr -dm - -e text "$file" 2>/dev/null | grep = | sort | tr '\n' ' ')"; done); }
as_before() { facts >/tmp/now; diff /tmp/before /tmp/now; }
label() { getfattr --absolute-names -n security.selinux -e text --only-values $images/$1 | tr -d '\0'; }
pid() { cat "/run/libvirt/qemu/$1.pid"; }
process_label() { tr -d '\0' <"/proc/$(pid "$1")/attr/current"; }
# A device lets go when the guest's emulator says so.
eventually() { for _ in $(seq 25); do "$@" >/dev/null && return; sleep 0.2; done; "$@"; }
one_as_before() { facts | grep "^$1 " >/tmp/one; grep "^$1 " /tmp/before | diff - /tmp/one; }
# What stands there for libsvirt alone may be put another way.
same_as() { without() { sed 's/trusted.svirt[^ ]* *"[^"]*"//g; s/trusted.svirt[^ ]*="[^"]*" //g'; }; without <"$1" >/tmp/then; facts | without | diff -b /tmp/then -; }
# A process is gone; when it is not, what its threads wait for.
ended() {
    [ -e "/proc/$1" ] || return 0
    threads "$1"
    return 1
}
# An emulated processor that runs a guest on KVM stands still sooner or later, in an endless row of interrupts: such
# guests are started and stay paused. Those that are emulated run.
start() { if [ $TYPE = kvm ]; then v start "$1" --paused; else v start "$1"; fi; }
guest_start() { guest "$@" && start "$1"; }
shows() { local what=$1 text; shift; text=$("$@"); echo "$text" | grep -q "$what" || { echo "$text"; return 1; }; }
starts_with() { case "$1" in "$2"*) ;; *) echo "$1 does not start with $2"; return 1 ;; esac; }

daemon() { # libvirt|libsvirt [OPTIONS]
    local at
    at=$(cut -d. -f1 /proc/uptime)
    cd /
    if [ "$1" = libsvirt ]; then
        timeout 120 env LD_PRELOAD=libsvirt-libvirt.so LIBSVIRT_OPTIONS="${2-}" libvirtd -d
    else
        timeout 120 libvirtd -d
    fi
    for _ in $(seq 300); do
        [ -S /run/libvirt/libvirt-sock ] && timeout 100 virsh -q list >/dev/null && return 0
        [ "$(cut -d. -f1 /proc/uptime)" -lt $((at + 200)) ] || break
        sleep 0.2
    done
    echo "libvirtd $1 does not answer; its threads:"
    threads "$(pidof libvirtd)"
    return 1
}
threads() {
    for task in /proc/"$1"/task/*; do
        echo "$(cat "$task/comm" "$task/wchan" "$task/syscall" "$task/stack" | tr '\n' ' ')"
    done
}
stop_daemon() { # SIGNAL; the guests stay
    local pid
    pid=$(cat /run/libvirtd.pid)
    kill "-$1" "$pid"
    for _ in $(seq 600); do [ -e "/proc/$pid" ] || break; sleep 0.1; done
    step "the daemon ends" ended "$pid"
    kill -KILL "$pid" 2>/dev/null
    rm -f /run/libvirt/libvirt-sock
}

# guest NAME DIGIT MORE-DEVICES SECLABELS [DISK-SECLABEL]
guest() {
    cat >/tmp/$1.xml <<XML
<domain type='$TYPE'>
  <name>$1</name>
  <uuid>0b15ad3c-11f4-4b0c-a8e2-00000000000$2</uuid>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='${6-raw}'/><source file='$images/$1.img'>${5-}</source><target dev='vda' bus='virtio'/></disk>
    ${3-}
    <memballoon model='none'/>
  </devices>
  ${4-}
</domain>
XML
    v define "/tmp/$1.xml"
}
shared="<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$images/shared.img'/><target dev='vdc' bus='virtio'/><shareable/></disk>"
iso="<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='$images/cd.iso'/><target dev='hdc' bus='ide'/><readonly/></disk>"

setup() {
    for name in alpha beta extra shared static none base own; do
        truncate -s 4M $images/$name.img
    done
    truncate -s 1M $images/cd.iso
    chmod 600 $images/*
    cp /job/libsvirt.so.0 /job/libsvirt-libvirt.so /usr/lib/
    modprobe kvm_amd
    chgrp kvm /dev/kvm && chmod 660 /dev/kvm
    grep -q " /sys/fs/cgroup " /proc/mounts || mount -t cgroup2 cgroup2 /sys/fs/cgroup
    ip link set lo up 2>/dev/null
    # As an administrator runs it; from a boot script it would be confined, and not read the XML.
    [ "$LSM" = selinux ] && chcon -t bin_t /usr/bin/virsh
    [ "$LSM" = selinux ] && restorecon -R $images /dev /usr/lib/libsvirt* /run
    # libvirt takes AppArmor only when its own daemon is confined. That profile forbids the daemon to load
    # profiles, which libvirt's helper does for it; on libsvirt the daemon does it itself.
    if [ "$LSM$DRIVER" = apparmorlibsvirt ]; then
        sed -i '/audit deny .*apparmor/d' /etc/apparmor.d/usr.sbin.libvirtd
        echo 'capability mac_admin,' >>/etc/apparmor.d/local/usr.sbin.libvirtd
    fi
    [ "$LSM" = apparmor ] && apparmor_parser -r /etc/apparmor.d/usr.sbin.libvirtd /etc/apparmor.d/usr.lib.libvirt.virt-aa-helper
    echo 'log_outputs="3:file:/var/log/libvirt/libvirtd.log"' >>/etc/libvirt/libvirtd.conf
    echo 'stdio_handler="logd"' >>/etc/libvirt/qemu.conf
    virtlogd -d
    facts >/tmp/before
}

# What libvirt's own drivers do not do, and why, stands in docs/libvirt.md; with them such a step is only shown.
ours() { if [ $DRIVER = libsvirt ]; then step "$@"; else shown "$@"; fi; }
shown() {
    local name=$1
    shift
    if "$@" >/dev/null 2>&1; then echo "also libvirt: $part: $name"; else echo "not libvirt: $part: $name"; fi
}
# Whoever left something behind must not spoil the parts that follow.
clean() { ours "everything is as before" as_before; rewind; }
rewind() {
    [ -n "$(virsh -q list --name 2>/dev/null | cat)" ] && return
    rm -f $images/*.snap $images/*.copy
    for file in $images/*; do
        for name in $(getfattr -dm '^trusted\.' --absolute-names "$file" 2>/dev/null | sed -n 's/=.*//p' | grep trusted); do
            setfattr -x "$name" "$file"
        done
        chown 0:0 "$file"
    done
    [ $LSM = selinux ] && restorecon -F $images/*
    return 0
}

part="start and share"
TYPE=kvm
setup
step "the daemon starts" daemon $DRIVER
if [ $DRIVER = libsvirt ]; then
    log=/var/log/libvirt/libvirtd.log
    step "the log says who confines" grep -q "libsvirt .* confines this daemon's guests: $LSM" $log
    step "for owners too" grep -q "libsvirt .* confines this daemon's guests: dac" $log
fi
step "define" guest alpha a "$shared $iso"
step "define another" guest beta b "$shared $iso"
step "start" start alpha
step "start another, with the same shared disk and CD" start beta
if [ $LSM = selinux ]; then
    step "dominfo shows the label" shows "Security label: *system_u:system_r:svirt_t:s0:c.* (enforcing)" v dominfo alpha
    step "the process has it" starts_with "$(process_label alpha)" system_u:system_r:svirt_t:s0:c
    step "the disk has its pair" [ "$(label alpha.img)" = "$(process_label alpha | sed 's/system_r:svirt_t/object_r:svirt_image_t/')" ]
    step "the shared disk has none" [ "$(label shared.img)" = system_u:object_r:svirt_image_t:s0 ]
    step "the CD is content" [ "$(label cd.iso)" = system_u:object_r:virt_content_t:s0 ]
else
    step "dominfo shows the label" shows "Security label: *libvirt-.* (enforcing)" v dominfo alpha
    step "the process has it" starts_with "$(process_label alpha)" "libvirt-0b15ad3c-11f4-4b0c-a8e2-00000000000a (enforce)"
fi
step "the disk has its owner" [ "$(stat -c %U $images/alpha.img)" = libvirt-qemu ]
step "the guest does not map the shim" fails grep -q libsvirt "/proc/$(pid alpha)/maps"

part=denial
dmesg -C
v qemu-monitor-command alpha --hmp "drive_add 0 if=none,format=raw,file=$images/beta.img" | grep -v OK
step "the other guest's disk stays closed" shows "denied.*beta.img\|DENIED.*beta.img" dmesg

part="attach and detach"
step "attach a disk" v attach-disk alpha $images/extra.img sda --targetbus usb --live
[ $LSM = selinux ] && step "it has the guest's label" [ "$(label extra.img)" = "$(label alpha.img)" ]
step "its owner too" [ "$(stat -c %U $images/extra.img)" = libvirt-qemu ]
step "detach it" v detach-disk alpha sda --live
step "then it is as before" eventually one_as_before extra.img

part="external snapshot and block commit"
step "snapshot" v snapshot-create-as alpha snap --disk-only --no-metadata --diskspec vda,file=$images/alpha.snap --diskspec vdc,snapshot=no --diskspec hdc,snapshot=no
[ $LSM = selinux ] && step "the layer on top has the guest's label" [ "$(label alpha.snap)" = "$(process_label alpha | sed 's/system_r:svirt_t/object_r:svirt_image_t/')" ]
step "commit it" v blockcommit alpha vda --active --pivot --wait
step "the disk is the first again" shows "$images/alpha.img" v domblklist alpha
ours "the layer is given back" sh -c "! getfattr -dm trusted $images/alpha.snap | grep -q ."
rm -f $images/alpha.snap

part="save and restore"
step save v save alpha /var/lib/libvirt/qemu/save/alpha.saved
step "saved: the disk is as before" one_as_before alpha.img
step restore v restore /var/lib/libvirt/qemu/save/alpha.saved
step "managed save" v managedsave alpha
step "saved: the disk is as before" one_as_before alpha.img
step "start from it" start alpha

part="killed daemon"
kept=$(process_label alpha)
stop_daemon KILL
step "the daemon starts again" daemon $DRIVER
step "the guests are there" shows paused v domstate alpha
step "with their label" [ "$(process_label alpha)" = "$kept" ]
step "dominfo shows it" shows "Security label: *$(echo "$kept" | sed 's/ (enforce.*//')" v dominfo alpha
step "attach a disk" v attach-disk alpha $images/extra.img sda --targetbus usb --live
stop_daemon KILL
kill -9 "$(pid beta)"
step "the daemon starts again, and a guest died meanwhile" daemon $DRIVER
step "destroy" v destroy alpha
clean

part="failed start"
start beta >/dev/null
facts >/tmp/running
step "a missing disk is refused" fails guest_start none d "<disk type='file' device='disk'><source file='$images/missing.img'/><target dev='vdb' bus='virtio'/></disk>"
step "the other guest's images are as they were" same_as /tmp/running
step "a disk in use is refused" fails guest_start none d "<disk type='file' device='disk'><source file='$images/beta.img'/><target dev='vdb' bus='virtio'/></disk> $shared $iso"
ours "the other guest's images are as they were" same_as /tmp/running
v destroy beta >/dev/null
clean

part=seclabels
static='<seclabel type="static" model="selinux" relabel="yes"><label>system_u:system_r:svirt_t:s0:c100,c200</label></seclabel>'
base='<seclabel type="dynamic" model="selinux" relabel="yes"><baselabel>system_u:system_r:svirt_t:s0</baselabel></seclabel>'
none='<seclabel type="none" model="selinux"/>'
left='<seclabel model="selinux" relabel="no"/><seclabel model="dac" relabel="no"/>'
own='<seclabel model="selinux" relabel="yes"><label>system_u:object_r:svirt_image_t:s0</label></seclabel>'
if [ $LSM = selinux ]; then
    step "static" guest_start static 1 "" "$static"
    step "static: the process" starts_with "$(process_label static)" system_u:system_r:svirt_t:s0:c100,c200
    step "static: the disk" [ "$(label static.img)" = system_u:object_r:svirt_image_t:s0:c100,c200 ]
    v destroy static >/dev/null
    step "base label" guest_start base 2 "" "$base"
    step "base label: the process" starts_with "$(process_label base)" system_u:system_r:svirt_t:s0:c
    v destroy base >/dev/null
    step "a disk's own label" guest_start own 3 "" "" "$own"
    step "its own label: the disk" [ "$(label own.img)" = system_u:object_r:svirt_image_t:s0 ]
    v destroy own >/dev/null
    # Whether the policy lets an unconfined guest start is its own affair; its disk must stay as it is.
    guest none d "" "$none" >/dev/null
    start none >/dev/null
    step "none: the disk is left alone" [ "$(label none.img)" = "$(sed -n 's/^none.img.*selinux="\([^"]*\)".*/\1/p' /tmp/before)" ]
    v destroy none >/dev/null 2>&1
fi
guest own 3 "" "" "$left" >/dev/null
start own >/dev/null
step "relabel=no: the disk is left alone" one_as_before own.img
v destroy own >/dev/null 2>&1
clean

part="emulated guests"
TYPE=qemu
# Translated code is written and executed, which Debian's policy leaves to the administrator.
[ $LSM = selinux ] && setsebool virt_use_execmem on
step "start" guest_start own 3 "$shared $iso"
step "start another" guest_start none d "$shared $iso"
if [ $LSM = selinux ]; then
    step "the process has a label" starts_with "$(process_label own)" system_u:system_r:svirt_t:s0:c
    step "the disk has its pair" [ "$(label own.img)" = "$(process_label own | sed 's/system_r:svirt_t/object_r:svirt_image_t/')" ]
else
    step "the process has a profile" starts_with "$(process_label own)" "libvirt-0b15ad3c-11f4-4b0c-a8e2-000000000003 (enforce)"
fi
dmesg -C
v qemu-monitor-command own --hmp "drive_add 0 if=none,format=raw,file=$images/none.img" | grep -v OK
step "the other guest's disk stays closed" shows "denied.*none.img\|DENIED.*none.img" dmesg
step reset v reset own
step reboot v reboot own
step "it runs" shows running v domstate own
step "attach a disk" v attach-disk own $images/extra.img sda --targetbus usb --live
step "detach it" v detach-disk own sda --live
step "then it is as before" eventually one_as_before extra.img
step save v save own /var/lib/libvirt/qemu/save/own.saved
step "saved: the disk is as before" one_as_before own.img
step restore v restore /var/lib/libvirt/qemu/save/own.saved
kept=$(process_label own)
stop_daemon KILL
step "the daemon starts again" daemon $DRIVER
step "the guest runs" shows running v domstate own
step "with its label" [ "$(process_label own)" = "$kept" ]
step "destroy" v destroy own
step "destroy the other" v destroy none
clean

if [ $DRIVER = libsvirt ]; then
    part="from libvirt and back"
    stop_daemon TERM
    step "the daemon starts on its own drivers" daemon libvirt
    guest alpha a "$shared $iso" >/dev/null
    guest beta b "$shared $iso" >/dev/null
    start alpha >/dev/null
    start beta >/dev/null
    kept=$(process_label alpha)
    stop_daemon TERM
    step "libsvirt takes over" daemon libsvirt
    step "the guest runs" shows running v domstate alpha
    step "dominfo shows the label" shows "Security label: *$(echo "$kept" | sed 's/ (enforce.*//')" v dominfo alpha
    step "attach a disk" v attach-disk alpha $images/extra.img sda --targetbus usb --live
    step "destroy" v destroy alpha
    step "destroy the other" v destroy beta
    step "everything is as before" as_before
    rewind
    start alpha >/dev/null
    start beta >/dev/null
    stop_daemon TERM
    step "libvirt takes over again" daemon libvirt
    step "the guest runs" shows running v domstate alpha
    step "dominfo shows the label" shows "Security label: .*(enforcing)" v dominfo alpha
    step "destroy" v destroy alpha
    step "destroy the other" v destroy beta
    own_disks() { same_as /tmp/before | grep -E 'alpha|beta'; [ $? = 1 ]; }
    step "the guests' own disks are as before" own_disks
    rewind

    if [ $LSM = selinux ]; then
        part="8 categories"
        TYPE=kvm
        guest alpha a "$shared $iso" >/dev/null
        stop_daemon TERM
        step "the daemon starts with a range" daemon libsvirt mcs.range=s0-s0:c0.c7
        many() { for n in $(seq 40); do echo "start alpha --paused; destroy alpha;"; done | tr '\n' ' ' | timeout 500 xargs -0 virsh -q 2>&1; }
        step "40 starts" many
        v start alpha --paused >/dev/null
        step "within the range" sh -c "echo '$(process_label alpha)' | grep -q 's0:c[0-7],c[0-7]'"
        v destroy alpha >/dev/null
        clean
    fi
fi
stop_daemon TERM

echo "total: $passed passed, $failed failed"
[ $failed = 0 ]
