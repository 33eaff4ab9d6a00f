/* analysis/paper_tables.csv as texts, header line first, NULL last. Written at build time (paper.cmake). */
#ifndef UM_GRID_PAPER_LINES_H
#define UM_GRID_PAPER_LINES_H

extern const char *const um_paper_lines[];

#endif
