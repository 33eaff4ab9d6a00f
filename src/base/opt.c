#include "base/opt.h"
