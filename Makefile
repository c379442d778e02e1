# `make` builds into bin/, `make demo` shows the main flow, `make check` runs every test,
# `make help` lists the targets. V=1 shows commands; SAN=address,undefined or SAN=thread builds
# with sanitizers into a folder of its own; config.mak holds local settings.
MAKEFLAGS += --no-builtin-rules --output-sync=target
.SUFFIXES:
.DELETE_ON_ERROR:
-include config.mak

DESTDIR     ?=
prefix      ?= /usr/local
exec_prefix ?= $(prefix)
bindir      ?= $(exec_prefix)/bin
libexecdir  ?= $(exec_prefix)/libexec
datarootdir ?= $(prefix)/share
mandir      ?= $(datarootdir)/man
compdir     ?= $(datarootdir)/bash-completion/completions
fishcompdir ?= $(datarootdir)/fish/vendor_completions.d
zshcompdir  ?= $(datarootdir)/zsh/site-functions
docdir      ?= $(datarootdir)/doc/snapfork
CXX         := $(if $(filter default,$(origin CXX)),g++,$(CXX))
CC          := $(if $(filter default,$(origin CC)),gcc,$(CC))
INSTALL     ?= install
PKG_CONFIG  ?= pkg-config
SCDOC       ?= scdoc
CXXFLAGS    ?= -O2 -g

PKGS    := mount blkid libmicrohttpd libxxhash libcrypto libzstd libarchive
WARN    := -Wall -Wextra -Wshadow -Wconversion -Wnon-virtual-dtor -Wformat=2 -Wimplicit-fallthrough
ALL_CPP  = -Isrc -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 $(PKG_CFLAGS) $(CPPFLAGS)
ALL_CXX := -std=c++20 -pthread $(WARN) -fstack-protector-strong
# A program loads only the libraries that it uses: its start time is part of the time of a fork.
ALL_LD  := -pthread -Wl,--as-needed
# A fork starts these, one after the other, so they load none: see CONTRIBUTING. "make STATIC=" links them dynamically.
STATIC  ?= reflink-clone snapshot-meta template-lock uffd-ctl fc-api fc-run
STATIC_PKGS := libxxhash
ifdef SAN
STATIC  :=
ALL_CXX += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
ALL_LD  += -fsanitize=$(SAN)
else
# Loading and relocating the shared libstdc++ is more than half of a start: 2.7 ms against 1.1.
ALL_LD  += -static-libstdc++ -static-libgcc
endif
ALL_CXX += $(if $(WERROR),-Werror) $(CXXFLAGS)
ALL_LD  += $(LDFLAGS)
STATIC_LD := -static-pie $(filter-out -static-%,$(ALL_LD))  # with -static-libstdc++, g++ links libc dynamically
# Expanded once and only when something is compiled.
PKG_CFLAGS = $(eval PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $(shell $(PKG_CONFIG) --libs $(PKGS)))$(PKG_LIBS)
STATIC_LIBS = $(eval STATIC_LIBS := $(shell $(PKG_CONFIG) --static --libs $(STATIC_PKGS)))$(STATIC_LIBS)

comma := ,
O     := build/$(if $(SAN),san-$(subst $(comma),-,$(SAN)),default)
BIN   := $(if $(SAN),$(O)/bin,bin)

# A hyphen in a file name means that it holds a main().
SRCS     := $(wildcard src/*/*.cc src/*/*/*.cc)
MAINS    := $(foreach f,$(SRCS),$(if $(findstring -,$(notdir $f)),$f))
LIB_SRCS := $(filter-out $(MAINS),$(SRCS))
TESTS    := $(wildcard tests/unit/*/*_test.cc)
HELPERS  := $(wildcard tests/helpers/*-*.cc)
PROGS    := $(addprefix $(BIN)/,$(notdir $(MAINS:%.cc=%)))
DRIVER   := $(BIN)/snapfork
# The driver's verbs and library: beside it in $(BIN), and in $(libexecdir) when installed.
LIBEXEC  := $(patsubst scripts/%,%,$(wildcard scripts/libexec/snapfork/*.bash scripts/libexec/snapfork/lib/*.bash))
VERSION   = $(shell sed -n 's/.*kVersion = "\(.*\)".*/\1/p' src/base/version.h)
HELPER_PROGS := $(patsubst tests/helpers/%.cc,$(O)/tests/%,$(HELPERS))
GUEST_SRCS := tests/guest/boot.S $(wildcard tests/guest/*.c)
GUEST    := $(if $(filter x86_64-%,$(MAKE_HOST)),$(O)/tests/guest.elf)
LIB_OBJS := $(LIB_SRCS:%.cc=$(O)/%.o)
OBJS     := $(LIB_OBJS) $(MAINS:%.cc=$(O)/%.o) $(TESTS:%.cc=$(O)/%.o) $(HELPERS:%.cc=$(O)/%.o)
# Fuzz targets are built by clang, apart from all else, with only the sources that parse.
CLANGXX  ?= clang++
FUZZ     := build/fuzz
FUZZERS  := $(patsubst tests/fuzz/%_fuzz.cc,$(FUZZ)/%,$(wildcard tests/fuzz/*_fuzz.cc))
ifneq ($(filter $(FUZZ)/%,$(MAKECMDGOALS)),)  # see fuzzers
FUZZ_SRCS := $(shell scripts/sources-of.sh $(wildcard tests/fuzz/*.cc tests/fuzz/*.h))
FUZZ_OBJS := $(FUZZ_SRCS:%.cc=$(FUZZ)/%.o)
endif
FUZZ_CXX := -std=c++20 -pthread -O1 -gline-tables-only -D_GLIBCXX_ASSERTIONS -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
MANS     := $(patsubst man/%.scd,$(O)/man/%,$(wildcard man/*.scd))
SHELL_SRCS = scripts/snapfork scripts/bootstrap scripts/commit-msg $(addprefix scripts/,$(LIBEXEC)) $(wildcard scripts/*.sh scripts/*.bash tests/*.bash \
  tests/*.sh tests/*/*.bash tests/*/*.sh tests/*/*.bats bench/*.sh bench/*.bash) $(BASH_COMPLETIONS) .ci/run
Q        := $(if $(V),,@)
# STEPS, STEPS_FILE: how many files are built, and a file with a byte for each that is (scripts/build.sh).
step      = $(if $(STEPS_FILE),printf . >>$(STEPS_FILE); printf '[%3d/%d]' "$$(wc -c <$(STEPS_FILE))" $(STEPS);)
msg       = $(if $(V),,$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,@$(step) printf '  %-6s %s\n' $(1) $(2)))
# Builds with all processors, unless -j is given, and reports progress.
build     = $(Q)+MAKE='$(MAKE)' BUILD_DIR=$(O) scripts/build.sh

all: $(PROGS) $(DRIVER) $(addprefix $(BIN)/,$(LIBEXEC))  ## build the programs into bin/
	@:
define link_program
$(BIN)/$(notdir $(1)): $(O)/$(1).o $(O)/libsnapfork.a
endef
$(foreach m,$(MAINS:%.cc=%),$(eval $(call link_program,$(m))))
$(PROGS):
	$(Q)mkdir -p $(@D) && $(CXX) $(if $(filter $(@F),$(STATIC)),$(STATIC_LD) $^ $(STATIC_LIBS),$(ALL_LD) $^ $(PKG_LIBS)) -o $@
	$(call msg,LD,$@)
$(DRIVER): $(BIN)/%: scripts/% src/base/version.h
	$(call msg,CP,$@)
	$(Q)mkdir -p $(@D) && sed 's/^readonly version=@VERSION@/readonly version=$(VERSION)/' $< >$@.new && chmod 755 $@.new && mv $@.new $@
$(addprefix $(BIN)/,$(LIBEXEC)): $(BIN)/%: scripts/%
	$(call msg,CP,$@)
	$(Q)$(INSTALL) -D -m 644 $< $@
$(O)/libsnapfork.a: $(LIB_OBJS)
	$(call msg,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(O)/%.o: %.cc $(O)/flags
	$(Q)mkdir -p $(@D) && $(CXX) $(ALL_CPP) $(ALL_CXX) -MMD -MP -c $< -o $@
	$(call msg,CXX,$<)
# With FLAGS_ARE_NEW this rule has no effect, for a dry run that counts files.
$(O)/flags: $(if $(FLAGS_ARE_NEW),,FORCE)  # rebuild when compiler or flags change
	@mkdir -p $(@D); printf '%s\n' '$(CXX) $(ALL_CPP) $(filter-out -Werror,$(ALL_CXX)) $(ALL_LD)' >$@.new; \
	  cmp -s $@.new $@ && rm -f $@.new || mv $@.new $@
FORCE:
-include $(OBJS:.o=.d)

$(O)/tests/unit-tests: $(TESTS:%.cc=$(O)/%.o) $(O)/libsnapfork.a
	$(Q)mkdir -p $(@D) && $(CXX) $(ALL_LD) $^ $(shell $(PKG_CONFIG) --libs gtest_main gtest) $(PKG_LIBS) -o $@
	$(call msg,LD,$@)
$(HELPER_PROGS): $(O)/tests/%: $(O)/tests/helpers/%.o $(O)/libsnapfork.a
	$(Q)mkdir -p $(@D) && $(CXX) $(ALL_LD) $^ $(PKG_LIBS) -o $@
	$(call msg,LD,$@)
# The guest for a real Firecracker runs without an operating system, so it has its own flags.
$(O)/tests/guest.elf: $(GUEST_SRCS) $(wildcard tests/guest/*.h) tests/guest/guest.ld
	$(call msg,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) -std=c17 -O2 -Wall -Wextra -Wshadow -Wconversion $(if $(WERROR),-Werror) \
	  -ffreestanding -fno-pic -fno-stack-protector -fno-tree-loop-distribute-patterns -mgeneral-regs-only \
	  -mno-red-zone -static -no-pie -nostdlib -Wl,--build-id=none,-z,noexecstack,--no-warn-rwx-segments \
	  -T tests/guest/guest.ld $(GUEST_SRCS) -o $@
helpers: $(HELPER_PROGS) $(GUEST)
	@:

# Without a clang that has libFuzzer there are no fuzz targets, and tests/run-all.sh reports that.
fuzzers:
	$(Q)if printf 'extern "C" int LLVMFuzzerTestOneInput(const char*, long) { return 0; }' \
	    | $(CLANGXX) -fsanitize=fuzzer,address -x c++ - -o /dev/null 2>/dev/null; \
	  then $(MAKE) --no-print-directory $(FUZZERS); else rm -f $(FUZZERS); fi
$(FUZZ)/%.o: %.cc Makefile
	$(Q)mkdir -p $(@D) && $(CLANGXX) $(ALL_CPP) $(FUZZ_CXX) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@
	$(call msg,FUZZ,$<)
$(FUZZ)/libfuzz.a: $(FUZZ_OBJS)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(FUZZERS): $(FUZZ)/%: $(FUZZ)/tests/fuzz/%_fuzz.o $(FUZZ)/libfuzz.a
	$(call msg,LD,$@)
	$(Q)$(CLANGXX) $(FUZZ_CXX) -fsanitize=fuzzer -Wl,--as-needed $^ $(PKG_LIBS) -o $@
-include $(FUZZ_OBJS:.o=.d) $(patsubst $(FUZZ)/%,$(FUZZ)/tests/fuzz/%_fuzz.d,$(FUZZERS))

bootstrap-%:
	@scripts/bootstrap $*

demo: bootstrap-$(if $(FIRECRACKER),check,demo)  ## the main flow on a built-in snapshot; FIRECRACKER=PATH: on a real one
	$(build) all $(if $(FIRECRACKER),helpers)
	$(Q)BUILD_SECONDS=$$(cat $(O)/seconds) scripts/demo.sh

check: bootstrap-check  ## install what is missing, build, run every test
	$(build) all helpers fuzzers $(O)/tests/unit-tests
	$(Q)tests/run-all.sh $(BIN) $(O)
check-unit: $(O)/tests/unit-tests  ## GoogleTest only; GTEST_ARGS=--gtest_filter=...
	$(Q)tests/run-unit.sh $< $(GTEST_ARGS)
check-cli: all helpers  ## each program as users call it (bats); BATS_ARGS=--filter NAME
	$(Q)PATH="$(CURDIR)/$(BIN):$$PATH" HELPERS="$(CURDIR)/$(O)/tests" bats $(BATS_ARGS) tests/cli
check-e2e: all helpers  ## the flows, on real filesystems, with processes killed (bats; root)
	$(Q)PATH="$(CURDIR)/$(BIN):$$PATH" HELPERS="$(CURDIR)/$(O)/tests" bats $(BATS_ARGS) tests/e2e
check-fuzz: bootstrap-check  ## run the parsers on mutated input; FUZZ_SECONDS=60 for each
	$(build) fuzzers
	$(Q)set -e; for f in $(notdir $(FUZZERS)); do tests/fuzz/run.sh $$f; done
soak: bootstrap-check  ## the storm, chaos, the race, the model check, the fuzz targets: SOAK_SECONDS=300 each
	$(build) all helpers fuzzers
	$(Q)tests/soak/run.sh $(BIN) $(O)
check-firecracker: all helpers  ## the flows on a real Firecracker: FIRECRACKER=PATH, and JAILER=PATH
	$(Q)PATH="$(CURDIR)/$(BIN):$$PATH" HELPERS="$(CURDIR)/$(O)/tests" bats $(BATS_ARGS) tests/firecracker

bench: all helpers  ## measure, into bench/RESULTS.md; PEERS=DIR: also the page servers in DIR
	$(Q)scripts/bootstrap bench
	$(Q)PATH="$(CURDIR)/$(BIN):$$PATH" HELPERS="$(CURDIR)/$(O)/tests" PEERS="$(PEERS)" bench/run.sh

bench-pager: all helpers  ## the page server's figures alone, to standard output
	$(Q)scripts/bootstrap bench
	$(Q)PATH="$(CURDIR)/$(BIN):$$PATH" HELPERS="$(CURDIR)/$(O)/tests" PEERS="$(PEERS)" \
	  sh -ec 'for name in faults window pager; do bench/bench-$$name.sh; done'

lint: bootstrap-lint  ## clang-format, clang-tidy, shellcheck, shfmt, groff, words to avoid; all warnings are errors
	$(Q)scripts/lint.sh
format:  ## rewrite sources in the house format
	$(Q)clang-format -i $$(git ls-files '*.cc' '*.h')
	$(Q)shfmt -i 2 -ci -bn -w $(SHELL_SRCS)
list-shell:
	@printf '%s\n' $(SHELL_SRCS)
print-cppflags:
	@printf '%s\n' '-std=c++20 $(ALL_CPP)'

man: $(MANS)  ## man pages into $(O)/man
$(O)/man/%: man/%.scd
	@command -v $(SCDOC) >/dev/null || { echo "scdoc is missing: scripts/bootstrap build" >&2; exit 1; }
	$(call msg,MAN,$@)
	$(Q)mkdir -p $(@D) && $(SCDOC) <$< >$@

# One file completes all programs in zsh, and one in fish, which finds it by the name of the program.
BASH_COMPLETIONS := $(filter-out completions/_snapfork completions/snapfork.fish,$(wildcard completions/*))
FISH_LINKS := $(addsuffix .fish,$(notdir $(PROGS)))
DOCS     := LICENSE README.md $(wildcard docs/*.md)
install: all man  ## programs, man pages, completions, license and docs under $(DESTDIR)$(prefix)
	$(Q)$(INSTALL) -d $(DESTDIR)$(bindir) $(DESTDIR)$(mandir)/man1 $(DESTDIR)$(mandir)/man5 $(DESTDIR)$(mandir)/man7 $(DESTDIR)$(docdir)
	$(Q)$(INSTALL) $(STRIP) -m 755 $(PROGS) $(DESTDIR)$(bindir)
	$(Q)$(INSTALL) -m 755 $(DRIVER) $(DESTDIR)$(bindir)
	$(Q)sed -i 's|^readonly libexec_here=[^ ]*|readonly libexec_here='"$$(realpath -m --relative-to=$(bindir) $(libexecdir))"'/snapfork|' $(DESTDIR)$(bindir)/snapfork
	$(Q)set -e; for f in $(LIBEXEC:libexec/%=%); do $(INSTALL) -D -m 644 $(BIN)/libexec/$$f $(DESTDIR)$(libexecdir)/$$f; done
	$(Q)$(INSTALL) -m 644 $(DOCS) $(DESTDIR)$(docdir)
	$(Q)set -e; for page in $(MANS); do \
	  $(INSTALL) -m 644 $$page $(DESTDIR)$(mandir)/man$${page##*.}; done
	$(Q)$(INSTALL) -d $(DESTDIR)$(compdir) $(DESTDIR)$(fishcompdir) $(DESTDIR)$(zshcompdir)
	$(Q)$(INSTALL) -m 644 $(BASH_COMPLETIONS) $(DESTDIR)$(compdir)
	$(Q)$(INSTALL) -m 644 completions/_snapfork $(DESTDIR)$(zshcompdir)
	$(Q)$(INSTALL) -m 644 completions/snapfork.fish $(DESTDIR)$(fishcompdir)
	$(Q)set -e; for p in $(FISH_LINKS); do ln -sf snapfork.fish $(DESTDIR)$(fishcompdir)/$$p; done
install-strip:  ## install without symbols and debugging information: a tenth of the size
	$(Q)$(MAKE) --no-print-directory install STRIP=-s
uninstall:  ## remove what install installed
	$(Q)rm -f $(addprefix $(DESTDIR)$(bindir)/,$(notdir $(PROGS) $(DRIVER)))
	$(Q)rm -f $(patsubst libexec/%,$(DESTDIR)$(libexecdir)/%,$(LIBEXEC))
	$(Q)rmdir $(DESTDIR)$(libexecdir)/snapfork/lib $(DESTDIR)$(libexecdir)/snapfork 2>/dev/null || true
	$(Q)set -e; for page in $(notdir $(MANS)); do rm -f $(DESTDIR)$(mandir)/man$${page##*.}/$$page; done
	$(Q)rm -f $(addprefix $(DESTDIR)$(compdir)/,$(notdir $(BASH_COMPLETIONS))) $(DESTDIR)$(zshcompdir)/_snapfork
	$(Q)rm -f $(addprefix $(DESTDIR)$(fishcompdir)/,snapfork.fish $(FISH_LINKS))
	$(Q)rm -f $(addprefix $(DESTDIR)$(docdir)/,$(notdir $(DOCS)))
check-install: bootstrap-build  ## install into a scratch folder, run, uninstall: nothing may be left
	$(Q)rm -rf $(O)/pkg && $(MAKE) --no-print-directory -s install DESTDIR=$(CURDIR)/$(O)/pkg
	$(Q)set -e; for p in $(notdir $(PROGS) $(DRIVER)); do $(O)/pkg$(bindir)/$$p --version >/dev/null; done
	$(Q)$(MAKE) --no-print-directory -s uninstall DESTDIR=$(CURDIR)/$(O)/pkg
	$(Q)left=$$(find $(O)/pkg ! -type d); test -z "$$left" || { echo "left behind: $$left" >&2; exit 1; }
	@echo "check-install: ok"

deb: bootstrap-deb  ## Debian packages into build/deb/
	$(Q)scripts/build-deb.sh build/deb

clean:  ## remove bin/ and build/
	$(Q)rm -rf bin build
help:  ## list the targets
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / {printf "  %-18s %s\n", $$1, $$2}' Makefile
.PHONY: all demo check check-unit check-cli check-e2e check-fuzz soak check-firecracker bench bench-pager lint format man install install-strip \
  uninstall check-install deb clean help helpers fuzzers list-shell print-cppflags FORCE
