/* CPU threads of this process (DESIGN D6): max(1, cores in the affinity mask / ranks on the node that share it), unless
 * OMP_NUM_THREADS or run.threads say otherwise. Kernels pass um_threads() to OpenMP; no result depends on it. */
#ifndef UM_BASE_THREADS_H
#define UM_BASE_THREADS_H

int um_threads(void);
void um_threads_set(int n);                   /* n >= 1 fixes it; 0 returns to the rule */
void um_threads_set_ranks_on_node(int ranks); /* ranks that share this process's cores; default 1 */
int um_cores(void);                           /* cores in the affinity mask */

#endif
