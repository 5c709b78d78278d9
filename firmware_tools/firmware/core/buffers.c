#include "buffers.h"

core_buffers buffers;
