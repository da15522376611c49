# libsvirt: see README.md. `make demo` and `make test` install what they need on Debian 12, as root.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
# AppArmor's parser looks for what profiles include in /etc; an installation elsewhere keeps its own.
SYSCONFDIR ?= $(if $(filter /usr /usr/local,$(PREFIX)),/etc,$(PREFIX)/etc)
DESTDIR ?=
CARGO ?= cargo
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
STAGE := $(CURDIR)/stage
LIB := target/release/libsvirt.so
SOURCES := Cargo.toml Cargo.lock build.rs $(shell find src -name '*.rs')

# What tests/deps.sh installs is found here.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.NOTPARALLEL:
.PHONY: all install header symbols demo test bench check deps stage clean libvirt-shim

all: $(LIB)

$(LIB): $(SOURCES)
	$(CARGO) build --release --locked
	@touch $@

install: $(LIB)
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/share/man/man3
	install -m755 $(LIB) $(DESTDIR)$(LIBDIR)/libsvirt.so.$(VERSION)
	strip --strip-unneeded $(DESTDIR)$(LIBDIR)/libsvirt.so.$(VERSION)
	ln -sf libsvirt.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libsvirt.so.0
	ln -sf libsvirt.so.0 $(DESTDIR)$(LIBDIR)/libsvirt.so
	install -m644 include/svirt.h $(DESTDIR)$(PREFIX)/include/svirt.h
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|' svirt.pc.in \
	    >$(DESTDIR)$(LIBDIR)/pkgconfig/svirt.pc
	install -m644 docs/man/libsvirt.3 $(DESTDIR)$(PREFIX)/share/man/man3/libsvirt.3
	ln -sf libsvirt.3 $(DESTDIR)$(PREFIX)/share/man/man3/svirt.h.3
	install -d $(DESTDIR)$(SYSCONFDIR)/apparmor.d/svirt $(DESTDIR)$(SYSCONFDIR)/apparmor.d/abstractions
	install -m644 apparmor/TEMPLATE.qemu $(DESTDIR)$(SYSCONFDIR)/apparmor.d/svirt/
	install -m644 apparmor/abstractions/svirt-qemu $(DESTDIR)$(SYSCONFDIR)/apparmor.d/abstractions/

# The header that C programs include, and the list of symbols that the library exports.
header:
	SVIRT_BLESS=1 $(CARGO) test --locked --test header

symbols: $(LIB)
	nm -D --defined-only $(LIB) | awk '{print $$3}' | sort >abi/symbols.txt

# An installed copy to compile and run C programs against.
stage: $(LIB)
	@$(MAKE) -s install PREFIX=$(STAGE) SYSCONFDIR=$(STAGE)/etc DESTDIR=

# Preloaded into libvirtd, it makes libsvirt confine its guests: integration/libvirt/README.md.
SHIM := integration/libvirt
libvirt-shim: target/libsvirt-libvirt.so

target/libsvirt-libvirt.so: $(LIB) include/svirt.h $(wildcard $(SHIM)/*.[ch])
	@mkdir -p target/shim && ln -sf ../release/libsvirt.so target/shim/libsvirt.so
	$(CC) -std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror -fPIC -fvisibility=hidden -Iinclude \
	    -shared -Wl,-soname,libsvirt-libvirt.so -Wl,-z,defs -o $@ $(SHIM)/*.c -Ltarget/shim -lsvirt

deps:
	@./tests/deps.sh

# KERNEL=selinux or KERNEL=apparmor runs the same daemon inside a booted kernel that enforces it.
demo: deps stage
	@./examples/demo.sh $(KERNEL)

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

test: deps
	@./tests/run.sh

bench: deps
	$(CARGO) bench --locked --bench allocate --bench label --bench peer

clean:
	$(CARGO) clean
	rm -rf $(STAGE)
