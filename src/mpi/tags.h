/* Message tags. One per kind of traffic, never reused for another. */
#ifndef UM_MPI_TAGS_H
#define UM_MPI_TAGS_H

enum um_tag {
    UM_TAG_DATA = 1,   /* collectives (collective.c, reduce.c) */
    UM_TAG_AGREE = 2,  /* um_comm_agree */
    UM_TAG_NOTICE = 3, /* a rank gave up */
    UM_TAG_LIFE = 4,   /* life signs (watch.c) */
};

#endif
