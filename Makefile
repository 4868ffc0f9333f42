# peftmeter: every target; `make help` lists them. Variants build side by side in $(BUILD)/{release,debug,asan,double,cov}.
#
#   make V=asan build/asan/tests/test_arena      one program of one variant
#   make WERROR=1 ...                            warnings are errors (as in CI)
#   make VERBOSE=1 ...                           whole command lines
BUILD    ?= build
V        ?= release
CC       := $(if $(filter default,$(origin CC)),gcc,$(CC))
O        := $(BUILD)/$(V)
LAYERS   := core models methods harness
SRC      := $(foreach d,$(LAYERS),$(wildcard $(d)/*.c))
OBJ      := $(SRC:%.c=$(O)/%.o)
OBJ      += $(O)/gen/schema.o $(O)/gen/page.o $(O)/gen/build.o
LIBOBJ   := $(filter-out $(O)/harness/main.o,$(OBJ))
UNITS    := $(patsubst tests/%.c,%,$(wildcard tests/test_*.c))
PKGS     := sqlite3 libcjson libpcre2-8 libutf8proc libcurl zlib

# Parallel unless -j was given; the makes below share the jobs of this one.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS := $(MAKEFLAGS) --no-print-directory -j$(shell nproc 2>/dev/null || echo 2)
endif
Q        := $(if $(VERBOSE),,@)

has       = $(shell printf '\#include <$(1)>\n' | $(CC) -E -x c - >/dev/null 2>&1 && echo 1)
HAVE_DNNL := $(call has,oneapi/dnnl/dnnl.h)
HAVE_BZ2  := $(call has,bzlib.h)
# The OpenMP build of OpenBLAS, also where the system's default is the pthread one (two thread pools fight for the cores).
# Debian keeps it in a folder of its own, Fedora under another name; elsewhere pkg-config knows the one there is.
comma    := ,
OBDIR    := $(firstword $(wildcard /usr/lib/*/openblas-openmp))
OBLIB    := $(if $(wildcard /usr/lib*/libopenblaso.so),-lopenblaso,-lopenblas)
OPENBLAS := $(if $(OBDIR),-L$(OBDIR) -Wl$(comma)-rpath$(comma)$(OBDIR) -lopenblas,$(shell pkg-config --libs-only-L openblas 2>/dev/null) $(OBLIB))

WARN     := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion -Wstrict-prototypes -Wmissing-prototypes \
            -Wvla -Wundef -Wcast-qual -Wwrite-strings -Wformat=2
CPPFLAGS += -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE $(addprefix -I,$(LAYERS)) $(if $(HAVE_DNNL),-DPM_HAVE_DNNL) $(if $(HAVE_BZ2),-DPM_HAVE_BZ2) \
            $(if $(OBDIR),,$(shell pkg-config --cflags openblas 2>/dev/null)) $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
CFLAGS   += -std=c11 -g -fopenmp -fno-math-errno -fno-trapping-math $(WARN) $(if $(WERROR),-Werror)
LDLIBS   += $(OPENBLAS) $(if $(HAVE_DNNL),-ldnnl) $(if $(HAVE_BZ2),-lbz2) $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm -ldl -lpthread

opt_release := -O3 -march=native
opt_debug   := -O0 -DPM_DEBUG
opt_asan    := -O1 -DPM_DEBUG -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
opt_double  := -O2 -march=native -DPM_DOUBLE -Wno-double-promotion
opt_cov     := -O0 --coverage
OPT         := $(opt_$(V))

.DEFAULT_GOAL := release
.SECONDARY:
.PHONY: all release debug asan double cov test test-asan gradcheck check lint lint-fast format demo demo-smollm2 results regress bench bench-quick fetch-test-data deps ready \
        programs clean help FORCE

$(O)/%.o: %.c $(O)/flags
	@mkdir -p $(@D)
	@$(if $(VERBOSE),,echo '  cc $(V) $<')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(OPT) -MMD -MP -c $< -o $@
$(O)/flags: FORCE
	@mkdir -p $(@D); echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(OPT)' | cmp -s - $@ || echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(OPT)' > $@
FORCE:
# Written by make: the schema and what the page needs as C strings, and which build this is (rewritten only when it changes; dirty: sources differ from HEAD).
$(O)/gen/%.o: $(O)/gen/%.c $(O)/flags
	@$(if $(VERBOSE),,echo '  cc $(V) $<')
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(OPT) -c $< -o $@
# as_text,NAME,FILE: a file as a C string.
as_text = echo 'extern const char $(1)[];'; echo 'const char $(1)[] ='; sed 's/\\/\\\\/g; s/"/\\"/g; s/.*/    "&\\n"/' $(2); echo '    ;'
long_text := \#pragma GCC diagnostic ignored "-Woverlength-strings"
$(O)/gen/schema.c: harness/schema.sql
	@mkdir -p $(@D)
	@{ echo '$(long_text)'; $(call as_text,pm_schema_sql,$<); } > $@
$(O)/gen/page.c: plots/page.css plots/page.js
	@mkdir -p $(@D)
	@{ echo '$(long_text)'; $(call as_text,pm_page_css,plots/page.css); $(call as_text,pm_page_js,plots/page.js); } > $@
$(O)/gen/build.c: VERSION FORCE
	@mkdir -p $(@D)
	@commit=$$(git rev-parse HEAD 2>/dev/null) || commit=unknown; \
	 changes=$$(git status --porcelain -- $(LAYERS) Makefile VERSION 2>/dev/null) && dirty=$${changes:+1} || dirty=-1; \
	 printf '#include "host.h"\nconst char pm_version[] = "%s";\nconst char pm_commit[] = "%s";\nconst int pm_dirty = %s;\n' \
	   "$$(cat VERSION)" "$$commit" "$${dirty:-0}" > $@.new; \
	 echo 'const char pm_cflags[] = "$(filter-out -W% -g -std=%,$(CFLAGS)) $(OPT)$(if $(HAVE_DNNL), -DPM_HAVE_DNNL)";' >> $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(O)/peftmeter: $(OBJ)
	@$(if $(VERBOSE),,echo '  link $@')
	$(Q)$(CC) $(CFLAGS) $(OPT) $^ -o $@ $(LDLIBS)
# An archive, so that a test is linked with the objects it uses and no others.
$(O)/libpeftmeter.a: $(LIBOBJ)
	@rm -f $@
	$(Q)ar rcs $@ $^
$(O)/tests/%: $(O)/tests/%.o $(O)/libpeftmeter.a
	$(Q)$(CC) $(CFLAGS) $(OPT) $^ -o $@ $(LDLIBS)
-include $(OBJ:.o=.d) $(UNITS:%=$(O)/tests/%.d)

# Whether a target needs what is not there is asked before make reads which libraries there are: hence the second make.
ready:
	@scripts/deps.sh --check || scripts/deps.sh
programs: $(O)/peftmeter $(UNITS:%=$(O)/tests/%)

all: release ## release, debug, asan and double programs
	@$(MAKE) debug && $(MAKE) asan && $(MAKE) double
release: ready ## the program: build/release/peftmeter
	@$(MAKE) V=release $(BUILD)/release/peftmeter
debug: ready ## no optimisation, poisoned arenas
	@$(MAKE) V=debug $(BUILD)/debug/peftmeter
asan: ready ## AddressSanitizer and UBSan
	@$(MAKE) V=asan $(BUILD)/asan/peftmeter
double: ready ## every number in double
	@$(MAKE) V=double $(BUILD)/double/peftmeter

# Tests. Gradients are checked in double (float hides wrong constants); what reads hostile bytes runs under ASan and
# UBSan too; arenas are poisoned in debug builds.
GRADCHECK := $(filter test_ops test_net test_methods test_laws test_llama,$(UNITS))
HOSTILE   := $(filter-out test_stats_sim test_panel_sim test_known_answer test_smollm2 test_pretrain $(GRADCHECK),$(UNITS))
POISONED  := $(filter test_base,$(UNITS))
units      = $(patsubst %,$(BUILD)/$(1)/tests/%,$(2))
TESTED     = $(call units,release,$(UNITS)) $(call units,double,$(GRADCHECK)) $(call units,asan,$(HOSTILE)) \
             $(call units,debug,$(POISONED))
E2E       := $(sort $(wildcard tests/e2e/*.sh)) asan:tests/e2e/cli.sh asan:tests/e2e/runs.sh

test: ready ## all tests: units, gradients in double, hostile input under ASan, the command line
	@$(MAKE) V=release programs
	@$(MAKE) V=double $(call units,double,$(GRADCHECK))
	@$(MAKE) V=asan $(BUILD)/asan/peftmeter $(call units,asan,$(HOSTILE))
	@$(MAKE) V=debug $(call units,debug,$(POISONED))
	@tests/run.sh $(TESTED) $(E2E)
gradcheck: ready ## every op and method against finite differences, in double, 1e-6
	@$(MAKE) V=double $(call units,double,$(GRADCHECK))
	@tests/run.sh $(call units,double,$(GRADCHECK))
test-asan: ready ## every unit test under ASan and UBSan
	@$(MAKE) V=asan programs
	@tests/run.sh $(call units,asan,$(UNITS))
cov: ready ## lines that the unit tests reach, by folder
	@$(MAKE) V=cov programs
	@find $(BUILD)/cov -name '*.gcda' -delete
	@tests/run.sh $(call units,cov,$(UNITS))
	@scripts/cov.sh $(BUILD)/cov
# clang-tidy reads gcc's omp.h, whose allocator attributes (__malloc__ with arguments) it does not know.
LINT_CFLAGS = $(CPPFLAGS) -std=c11 -fopenmp -D__malloc__(...)=__malloc__ -idirafter $(dir $(shell $(CC) -print-file-name=include/omp.h))
lint: ready ## layer rules, formatting, clang-tidy, cppcheck, shellcheck, and a build in which warnings are errors
	@LINT_CFLAGS='$(LINT_CFLAGS)' scripts/lint.sh
	@$(MAKE) BUILD=$(BUILD)/werror V=debug WERROR=1 programs
lint-fast: ## layer rules and formatting
	@scripts/lint.sh --fast
format: ## lays out the sources as .clang-format says
	@clang-format -i $(foreach d,$(LAYERS) tests,$(wildcard $(d)/*.[ch]))
check: ## all that must be green before a change lands: lint, test, every unit test under ASan
	@$(MAKE) lint && $(MAKE) test && $(MAKE) test-asan

demo: release ## seven methods, tuned alike, three seeds, on the embedded model: table and page; little more than a minute of two cores
	@scripts/demo.sh
demo-smollm2: release ## the same on SmolLM2-135M and ARC-Easy; hours, says how many first
	@scripts/demo.sh smollm2
results: release ## the demo afresh, and the tables of it that results/ keeps in git
	@rm -f $(BUILD)/results-demo.*
	@DEMO_OUT=$(BUILD)/results-demo scripts/demo.sh
	@scripts/results.sh $(BUILD)/results-demo.db results
regress: release ## exact numbers of the declared suite against results/baseline.json (WHY="reason": make them the reviewed ones); 10 s of two cores
	@rm -f $(BUILD)/regress.db*
	@$(BUILD)/release/peftmeter sweep results/suite.json --db $(BUILD)/regress.db --quiet
	@$(BUILD)/release/peftmeter regress --baseline results/baseline.json --head $(BUILD)/regress.db --suite results/suite.json \
	    $(if $(WHY),--accept '$(subst ','\'',$(WHY))',--junit $(BUILD)/regress.xml)
repro: release ## the whole of ARC-Easy: untuned and every method, with exact tests; about 12 minutes of a core each
	@scripts/repro.sh
bench: release ## speed and memory beside the reference stack on the same rows (PAIRS=3 STEPS=8 THREADS=2 MODE=lora; lora,dora; all)
	@bench/bench.sh
bench-quick: release ## the same without the peer
	@bench/bench.sh --quick
fetch-test-data: release ## the real model and the data that the strongest tests want
	@scripts/fetch-test-data.sh
deps: ## installs what the build needs and does not find (DRY=1: only says so; DEV=1: also the tools of lint)
	@scripts/deps.sh $(if $(DEV),--dev)
clean: ## removes everything built
	rm -rf $(BUILD)
help: ## this list
	@grep -hE '^[a-z0-9_-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18
