/* SPDX-License-Identifier: Apache-2.0 */
/* Flash in a file. */
#ifndef EDGENAS_HOST_FLASH_H
#define EDGENAS_HOST_FLASH_H

#include <stdint.h>

#define FLASH_POWER_CUT 77 /* the exit status */

/* Map `path`, which is made if it is missing. With `cut_after` > 0 the process ends in its cut_after-th write or erase,
 * of which is done what `style` says (host/tear.h). 0 and a message if that cannot be. */
int flash_open(const char *path, uint32_t cut_after, uint32_t style);

#endif
