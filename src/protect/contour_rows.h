/* Option rows of a contour band (image/contour.h) for the tables of protectors. */
#ifndef UM_PROTECT_CONTOUR_ROWS_H
#define UM_PROTECT_CONTOUR_ROWS_H

#include "base/opt.h"
#include "image/contour.h"

#define UM_CONTOUR_ROWS(S, m)                                                                                                      \
    UM_OPT_ENUM_ROW(S, m.mode, "contour.mode", "straddle", UM_CONTOUR_MODES,                                                       \
                    "which side of the mask edge the contour band covers"),                                                        \
        UM_OPT_INT_ROW(S, m.radius, "contour.radius", "1", 1, 64, "pixels", "radius of the structuring element"),                  \
        UM_OPT_ENUM_ROW(S, m.se, "contour.se", "square", UM_CONTOUR_SES, "structuring element"),                                   \
        UM_OPT_ENUM_ROW(S, m.border, "contour.border", "ignore", UM_CONTOUR_BORDERS, "whether the image frame counts as contour")

#endif
