/* SPDX-License-Identifier: Apache-2.0 */
#include "buffers.h"

core_buffers buffers;
