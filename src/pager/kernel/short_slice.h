// SPDX-License-Identifier: Apache-2.0
// Threads that other threads wait for, and that run for microseconds.
#pragma once

namespace pager {

// Asks the scheduler to give this thread the processor soon after it was woken, also if another
// thread runs there: a thread with a short slice interrupts one with a longer slice (EEVDF). Its
// share of the processor stays the same. Without an effect before Linux 6.12.
void request_short_slice();

}  // namespace pager
