# peftmeter: every target. `make help` lists them. Variants build side by side in $(BUILD)/{release,debug,asan,double,cov}.
BUILD    ?= build
V        ?= release
CC       ?= gcc
O        := $(BUILD)/$(V)
LAYERS   := core models methods harness
SRC      := $(foreach d,$(LAYERS),$(wildcard $(d)/*.c))
OBJ      := $(SRC:%.c=$(O)/%.o)
LIBOBJ   := $(filter-out $(O)/harness/main.o,$(OBJ))
TESTS    := $(patsubst tests/%.c,$(O)/tests/%,$(wildcard tests/test_*.c))
PKGS     := sqlite3 libcjson libpcre2-8 libutf8proc libcurl

has       = $(shell printf '\#include <$(1)>\n' | $(CC) -E -x c - >/dev/null 2>&1 && echo 1)
HAVE_DNNL := $(call has,oneapi/dnnl/dnnl.h)
# The OpenMP build of OpenBLAS, also where the system's default is the pthread one (two thread pools fight for the cores).
OBDIR    := $(firstword $(wildcard /usr/lib/*/openblas-openmp))

WARN     := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion -Wstrict-prototypes -Wmissing-prototypes \
            -Wvla -Wundef -Wcast-qual -Wwrite-strings -Wformat=2
CPPFLAGS += -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE $(addprefix -I,$(LAYERS)) $(if $(HAVE_DNNL),-DPM_HAVE_DNNL) \
            $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
CFLAGS   += -std=c11 -g -fopenmp -fno-math-errno -fno-trapping-math $(WARN) $(if $(WERROR),-Werror)
LDLIBS   += $(if $(OBDIR),-L$(OBDIR) -Wl$(comma)-rpath$(comma)$(OBDIR)) -lopenblas $(if $(HAVE_DNNL),-ldnnl) \
            $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lm -ldl -lpthread
comma    := ,

opt_release := -O3 -march=native
opt_debug   := -O0 -DPM_DEBUG
opt_asan    := -O1 -DPM_DEBUG -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
opt_double  := -O2 -march=native -DPM_DOUBLE -Wno-double-promotion
opt_cov     := -O0 --coverage
OPT      := $(opt_$(V))

.DEFAULT_GOAL := release
.PHONY: all release debug asan double cov test unit gradcheck lint format check bench demo deps clean help FORCE

$(O)/%.o: %.c $(O)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(OPT) -MMD -MP -c $< -o $@
$(O)/flags: FORCE
	@mkdir -p $(@D); echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(OPT)' | cmp -s - $@ || echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(OPT)' > $@
FORCE:
$(O)/peftmeter: $(OBJ)
	$(CC) $(CFLAGS) $(OPT) $^ -o $@ $(LDLIBS)
$(O)/tests/%: $(O)/tests/%.o $(LIBOBJ)
	$(CC) $(CFLAGS) $(OPT) $^ -o $@ $(LDLIBS)
-include $(OBJ:.o=.d) $(TESTS:%=%.d)

release: ## the program: build/release/peftmeter
	@$(MAKE) --no-print-directory V=release $(BUILD)/release/peftmeter
debug: ## no optimisation, poisoned arenas
	@$(MAKE) --no-print-directory V=debug $(BUILD)/debug/peftmeter
asan: ## AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory V=asan $(BUILD)/asan/peftmeter
double: ## every number in double
	@$(MAKE) --no-print-directory V=double $(BUILD)/double/peftmeter
clean: ## remove everything built
	rm -rf $(BUILD)
help: ## this list
	@grep -hE '^[a-z_-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16
