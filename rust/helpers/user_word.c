// SPDX-License-Identifier: GPL-2.0

#include <linux/uaccess.h>

/*
 * Modules can access user memory, by the macros that these wrap. They reach these
 * when the helpers are inlined into them or, otherwise, as exported functions.
 */

__rust_helper int rust_helper_get_user_u32(const u32 __user *uptr, u32 *word)
{
	return get_user(*word, uptr);
}

/*
 * put_user() is a function call on x86, which costs more than the store.
 * put_user_inline() lacks its might_fault().
 */
__rust_helper int rust_helper_put_user_u32(u32 __user *uptr, u32 word)
{
	might_fault();
	return put_user_inline(word, uptr);
}

/*
 * One user access region around the whole read-modify-write: objtool rejects a
 * region that spans function calls, and not every build inlines the helpers.
 *
 * Without might_fault(): with lockdep it is a point of preemption, and a caller that
 * decides whether a reschedule is postponed would be scheduled out there.
 */
__rust_helper int rust_helper_modify_user_u32(u32 __user *uptr, u32 need, u32 clear,
					      u32 set, u32 *old)
{
	u32 word;

	scoped_user_rw_access(uptr, efault) {
		unsafe_get_user(word, uptr, efault);
		if (word & need)
			unsafe_put_user((word & ~clear) | set, uptr, efault);
	}

	*old = word;
	return 0;

efault:
	return -EFAULT;
}
