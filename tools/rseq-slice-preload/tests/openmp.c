/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The locks of OpenMP. As a program, or as a shared object (-DOBJECT) that plugin.c opens: the OpenMP
 * runtime is then one that the program itself does not see.
 */
#include <omp.h>
#include <stdio.h>

#define ROUNDS 2000

#ifdef OBJECT
#define main openmp
int openmp(void);
#endif

#ifdef MOCK
#include "mock.h"
#define EXPECT(locks) do { if (mock_held() != (locks)) wrong++; } while (0)
#else
#define EXPECT(locks) ((void)0)
#endif

int main(void)
{
	long under_lock = 0, under_nest = 0, critical = 0, named = 0, all;
	int wrong = 0, depth;
	omp_lock_t lock;
	omp_nest_lock_t nest;

	omp_init_lock(&lock);
	omp_init_nest_lock(&nest);
#pragma omp parallel for num_threads(4) reduction(+ : wrong) private(depth)
	for (int i = 0; i < ROUNDS; i++) {
		omp_set_lock(&lock);
		EXPECT(1);
		under_lock++;
		omp_unset_lock(&lock);
		while (!omp_test_lock(&lock))
			EXPECT(0);
		EXPECT(1);
		under_lock++;
		omp_unset_lock(&lock);
		EXPECT(0);
		omp_set_nest_lock(&nest);
		depth = omp_test_nest_lock(&nest);
		wrong += depth != 2;
		EXPECT(2);
		under_nest++;
		omp_unset_nest_lock(&nest);
		EXPECT(1);
		omp_unset_nest_lock(&nest);
#pragma omp critical
		critical++;
#pragma omp critical(named)
		named++;
		EXPECT(0);
	}
	all = ROUNDS;
	if (!wrong && under_lock == 2 * all && under_nest == all && critical == all && named == all)
		return 0;
	printf("# %d wrong; %ld, %ld, %ld, %ld\n", wrong, under_lock, under_nest, critical, named);
	return 1;
}
