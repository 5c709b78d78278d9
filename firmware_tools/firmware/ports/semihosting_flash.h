/* SPDX-License-Identifier: Apache-2.0 */
/* The flash of an emulated board whose memory the emulator cannot keep in a file: the firmware reads and writes flash.bin
 * itself, by semihosting, so that what was written outlives the emulator as it would outlive a power cut. It provides
 * port.h's four functions of the flash. port_config.h defines, besides:
 *
 *     FLASH_ADDRESS       where both slots are mapped, one behind the other. The processor need not be able to write there:
 *                         what semihosting reads from the file goes into ROM, too
 *     FLASH_SLOT_BYTES    of one slot, its header page included
 *     FLASH_PAGE_BYTES    of every page */
#ifndef EDGENAS_SEMIHOSTING_FLASH_H
#define EDGENAS_SEMIHOSTING_FLASH_H

/* Once, by port_start: the file is mapped from now on. Without one every write fails. */
void semihosting_flash_start(void);

#endif
