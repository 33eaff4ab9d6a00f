#include "base/signal.h"
