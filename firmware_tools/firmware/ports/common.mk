# What every port's Makefile ends with: the firmware and the runner, a bare-metal image of each for each machine. Before it stand
#
#     here                 the port's folder, with a / at its end: all its .c files belong to the image
#     MACHINES             the machines' names, and for each of them
#     cpu_MACHINE          as the compiler's -mcpu names it
#     script_MACHINE       the linker script in `here`: ENTRY, MEMORY with CODE and RAM, INCLUDE sections.ld
#     flags_MACHINE        of the compiler, for the port alone
#     shared               what of this folder the port needs besides: semihosting_flash.c
#
# and, if they are wanted, `shared`: further .c files of ports/, and `NO_RUNNER := 1` for boards that nobody emulates.
#
# make [BUILD=folder]      BUILD/MACHINE.bin (core, engine, port) and BUILD/MACHINE-runner.bin (runner/main.c, engine, port);
#                          prints their paths
CROSS := arm-none-eabi-
ports := $(dir $(lastword $(MAKEFILE_LIST)))
firmware := $(ports)../
engine := $(firmware)engine
BUILD := $(firmware)build/boards

# -fbuiltin: freestanding or not, a memcpy of 4 bytes is a load and no call
FLAGS := -mthumb -mfloat-abi=soft -O2 -ffreestanding -fbuiltin -std=c11 -Wall -Wextra -Wconversion -Werror -g \
	-I$(firmware) -I$(firmware)core -I$(engine) -I$(ports) -I$(ports)include -I$(here)
engine_files := $(foreach place,*.[cS] */*.[cS] */*/*.[cS],$(wildcard $(engine)/$(place)))
folders := $(here) $(ports) $(firmware)core/ $(sort $(dir $(engine_files))) $(firmware)runner/
headers := $(foreach folder,$(folders),$(wildcard $(folder)*.h $(folder)*.ld)) $(firmware)port.h $(here)Makefile $(ports)common.mk

port_sources := $(notdir $(sort $(wildcard $(here)*.c))) cortex_m.c memory.c $(shared)
engine_sources := $(notdir $(engine_files))
core_sources := $(notdir $(sort $(wildcard $(firmware)core/*.c)))
objects = $(patsubst %,$(BUILD)/$(1)/%.o,$(port_sources) $(engine_sources) $(2))

all: $(MACHINES:%=$(BUILD)/%.bin) $(if $(NO_RUNNER),,$(MACHINES:%=$(BUILD)/%-runner.bin))
	@printf '%s\n' $^

define machine
$(BUILD)/$(1).elf: $(call objects,$(1),$(core_sources))
$(BUILD)/$(1)-runner.elf: $(call objects,$(1),main.c count.c)
$(BUILD)/$(1).elf $(BUILD)/$(1)-runner.elf:
	$(CROSS)gcc -mthumb -mcpu=$(cpu_$(1)) -mfloat-abi=soft -nostdlib -Wl,--gc-sections -L$(ports) -T$(here)$(script_$(1)) -o $$@ $$^ -lgcc

# else the compiler makes memcpy's loop a call of memcpy
$(BUILD)/$(1)/memory.c.o: own := -fno-tree-loop-distribute-patterns
endef
$(foreach name,$(MACHINES),$(eval $(call machine,$(name))))

define folder
$(BUILD)/$(1)/%.o: $(2)% $(headers)
	@mkdir -p $$(@D)
	$(CROSS)gcc -mcpu=$(cpu_$(1)) $(FLAGS) $(flags_$(1)) -DBOARD_NAME='"$(1)"' $$(own) -c -o $$@ $$<
endef
$(foreach name,$(MACHINES),$(foreach place,$(folders),$(eval $(call folder,$(name),$(place)))))

$(BUILD)/%.bin: $(BUILD)/%.elf
	$(CROSS)objcopy -O binary $< $@

.PHONY: all
