package middleware

import (
	"fmt"
	"time"
)

// checkTimes looks at how long things take.
func (f *findings) checkTimes() {
	f.each(limits, f.checkLimit)
	f.each(repeats, f.checkFit)
	f.each(func(p *Plan) bool { return p.Wait > 0 && !p.Disturbs }, f.checkWait)
	f.each(func(p *Plan) bool { return p.SlowCall > 0 }, f.checkSlowCall)
	f.each(func(p *Plan) bool { return p.Lease > 0 }, f.checkLease)
	f.each(hedges, f.checkHedgeDelay)
	if first := f.any(acts); first >= 0 && f.lacks(-1, limits) {
		f.add(Doubtful, "no_timeout", []int{first},
			"no policy limits how long a call takes, so that a dependency which does not answer keeps it for ever",
			"put a Timeout innermost, for each attempt, or outermost, for the whole call")
	}
}

// checkLimit looks for a limit around that one which is always first.
func (f *findings) checkLimit(i int, p *Plan) {
	j := f.outside(i, func(around *Plan) bool {
		// What a limit until the result does not cover, the one inside it may end.
		covers := around.UntilEnd || !p.UntilEnd && !p.EachRead || around.EachRead && p.EachRead
		return limits(around) && around.Limit <= p.Limit && covers
	})
	if j < 0 {
		return
	}
	around, severity := f.steps[j].plan.Limit, Impossible
	if p.Limit == around { // as good as one of them, and no harm
		severity = Doubtful
	}
	f.add(severity, "limit_never_fires", []int{j, i},
		fmt.Sprintf("the limit of %s is never reached, because the one around it, of %s, ends the call before", text(p.Limit), text(around)),
		fmt.Sprintf("set the Limit of %s below %s", f.steps[i].label(), text(around)))
}

// checkFit looks whether the limit around is as long as the attempts without the waits, and
// leaves the last one half its time after the waits, when those before it fail as late as
// they can.
func (f *findings) checkFit(i int, p *Plan) {
	j := f.outside(i, limits)
	if j < 0 {
		return
	}
	total, one := f.steps[j].plan.Limit, f.usual[i+1].first.time
	if one == Unbounded {
		if !f.lacks(i, limits) {
			return
		}
		f.add(Doubtful, "no_attempt_timeout", []int{j, i},
			fmt.Sprintf("an attempt that gets no answer takes all the %s of the call, so it is never repeated", text(total)),
			fmt.Sprintf("put a Timeout of at most %s innermost, for each attempt", text(total/time.Duration(p.Attempts))))
		return
	}
	if f.inside(i, func(p *Plan) bool { return p.Limit >= total }) >= 0 {
		return // checkLimit says it
	}
	shortest := Unbounded
	for j := f.inside(i, limits); j >= 0; j = f.inside(j, limits) {
		shortest = min(shortest, f.steps[j].plan.Limit)
	}
	before := plus(times(p.Attempts-1, one), p.Backoff)
	if left := total - min(total, before); left >= one/2 && times(p.Attempts, shortest) <= total {
		return
	}
	f.add(Doubtful, "attempts_do_not_fit", []int{j, i},
		fmt.Sprintf("%s that take up to %s each, and up to %s of waits between them, are %s, but the limit around them is %s",
			count(p.Attempts, "attempt"), text(one), text(p.Backoff), text(plus(before, one)), text(total)),
		fmt.Sprintf("make the attempts fewer or shorter, or set the Limit of %s to %s", f.steps[j].label(), text(plus(before, one))))
}

// checkWait looks at the limits around a wait for a turn.
func (f *findings) checkWait(i int, p *Plan) {
	if j := f.outside(i, func(around *Plan) bool { return limits(around) && around.Limit <= p.Wait }); j >= 0 {
		around := f.steps[j].plan.Limit
		f.add(Doubtful, "wait_beyond_limit", []int{j, i},
			fmt.Sprintf("a call may wait for %s, but the limit around it is %s, so that it may end before its turn or leave no time for the rest",
				text(p.Wait), text(around)),
			fmt.Sprintf("set the MaxWait of %s well below %s", f.steps[i].label(), text(around)))
	}
	j := f.outside(i, limits)
	if j < 0 {
		return
	}
	repeated := f.outside(i, multiplies)
	if repeated < 0 || repeated > j {
		return
	}
	f.add(Doubtful, "wait_in_attempt", []int{j, i},
		fmt.Sprintf("the limit of %s for an attempt counts the up to %s that it waits for its turn, so that a queue of our own looks like a slow dependency",
			text(f.steps[j].plan.Limit), text(p.Wait)),
		fmt.Sprintf("put %s outside of %s", f.steps[i].label(), f.steps[j].label()))
}

// checkSlowCall looks whether calls can be slow, and whether they are so because they wait.
func (f *findings) checkSlowCall(i int, p *Plan) {
	longest, by := f.longest[i+1].first.time, f.inside(i, limits)
	if j := f.outside(i, limits); j >= 0 && f.steps[j].plan.Limit < longest {
		longest, by = f.steps[j].plan.Limit, j
	}
	if longest < p.SlowCall && by >= 0 { // one that is ended at SlowCall has taken a little longer
		f.add(Impossible, "slow_call_never", []int{by, i},
			fmt.Sprintf("a call is slow that takes more than %s, but none takes more than %s", text(p.SlowCall), text(longest)),
			fmt.Sprintf("set the SlowCall of %s below %s", f.steps[i].label(), text(longest)))
		return
	}
	var wait time.Duration
	at := []int{i}
	for j := f.inside(i, acts); j >= 0; j = f.inside(j, acts) {
		if w := f.steps[j].plan.Wait; w > 0 && !f.steps[j].plan.Disturbs {
			wait = plus(wait, w)
			at = append(at, j)
		}
	}
	if wait >= p.SlowCall {
		f.add(Doubtful, "slow_call_counts_wait", at,
			fmt.Sprintf("a call is slow that takes more than %s, and it may have waited for %s of them for its turn", text(p.SlowCall), text(wait)),
			fmt.Sprintf("set the SlowCall of %s well above %s, or let calls wait outside of it", f.steps[i].label(), text(wait)))
	}
}

// checkLease looks whether a call may still run when its place is given to another one.
func (f *findings) checkLease(i int, p *Plan) {
	longest := f.longest[i+1].first.time
	if longest == Unbounded || longest <= p.Lease {
		return
	}
	f.add(Doubtful, "lease_too_short", []int{i},
		fmt.Sprintf("a place is given to another call after %s, but a call may take %s", text(p.Lease), text(longest)),
		fmt.Sprintf("set the Lease of %s above %s", f.steps[i].label(), text(longest)))
}

// checkHedgeDelay looks whether a run lasts until it is hedged.
func (f *findings) checkHedgeDelay(i int, p *Plan) {
	longest, by := f.longest[i+1].first.time, f.inside(i, limits)
	if j := f.outside(i, limits); j >= 0 && f.steps[j].plan.Limit < longest {
		longest, by = f.steps[j].plan.Limit, j
	}
	if by < 0 || longest > p.HedgeDelay {
		return
	}
	f.add(Impossible, "hedge_never_begins", []int{by, i},
		fmt.Sprintf("a call is run again after %s, but it is over after %s", text(p.HedgeDelay), text(longest)),
		fmt.Sprintf("set the Delay of %s below %s", f.steps[i].label(), text(longest)))
}
