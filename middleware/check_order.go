package middleware

import "fmt"

// checkOrder looks at who is outside of whom.
func (f *findings) checkOrder() {
	f.each(judges, f.checkBreaker)
	f.each(func(p *Plan) bool { return p.Rate > 0 || p.Places > 0 }, f.checkBound)
	f.each(hedges, func(i int, _ *Plan) {
		if j := f.inside(i, repeats); j >= 0 {
			f.add(Doubtful, "hedge_outside_retry", []int{i, j},
				fmt.Sprintf("a call that takes long because it is repeated is run beside itself, with up to %s each", count(f.steps[j].plan.Attempts, "attempt")),
				fmt.Sprintf("put %s inside of %s", f.steps[i].label(), f.steps[j].label()))
		}
	})
	f.each(func(p *Plan) bool { return p.Sheds }, func(i int, _ *Plan) {
		if j := f.outside(i, repeats); j >= 0 {
			f.add(Doubtful, "throttle_inside_retry", []int{j, i},
				fmt.Sprintf("a call that fails counts as up to %d requests, and an attempt that is shed ends a call which has cost others already", f.steps[j].plan.Attempts),
				fmt.Sprintf("put %s outside of %s", f.steps[i].label(), f.steps[j].label()))
		}
	})
	f.each(func(p *Plan) bool { return p.Foresees }, func(i int, _ *Plan) {
		if j := f.inside(i, repeats); j >= 0 {
			f.add(Doubtful, "deadline_outside_retry", []int{i, j},
				fmt.Sprintf("a call is measured with its up to %s and the waits between them, and a further attempt is begun however little time is left", count(f.steps[j].plan.Attempts, "attempt")),
				fmt.Sprintf("put %s inside of %s", f.steps[i].label(), f.steps[j].label()))
		}
	})
	f.each(func(p *Plan) bool { return p.Replaces }, f.checkFallback)
	f.each(func(p *Plan) bool { return p.Classifies }, func(i int, _ *Plan) {
		if j := f.inside(i, goesByVerdicts); j >= 0 {
			f.add(Doubtful, "judge_outside", []int{i, j},
				f.steps[j].label()+" does not see its verdicts, and goes by the default ones", "put the Judge inside of "+f.steps[j].label())
		}
	})
	f.each(func(p *Plan) bool { return p.Disturbs }, f.checkChaos)
}

// checkBreaker looks for attempts that a breaker does not see.
func (f *findings) checkBreaker(i int, _ *Plan) {
	j := f.inside(i, repeats)
	if j < 0 || !f.lacks(j, judges) {
		return
	}
	f.add(Doubtful, "retry_inside_breaker", []int{i, j},
		fmt.Sprintf("a call counts once for %s however often it is made: it opens late, and a call goes on with its %s after it has opened",
			f.steps[i].label(), count(f.steps[j].plan.Attempts, "attempt")),
		fmt.Sprintf("put %s inside of %s", f.steps[i].label(), f.steps[j].label()))
}

// checkBound looks for runs that a rate limit or a bulkhead does not see.
func (f *findings) checkBound(i int, p *Plan) {
	j := f.inside(i, multiplies)
	switch {
	case j < 0:
		return
	case p.Rate > 0 && !f.lacks(j, func(p *Plan) bool { return p.Rate > 0 }),
		p.Places > 0 && !f.lacks(j, func(p *Plan) bool { return p.Places > 0 }):
		return // another one sees them
	}
	runs := f.longest[i+1].first.runs
	problem := fmt.Sprintf("a call takes one turn for its up to %s, so the dependency may get %s times as many a second as %s says",
		count(runs, "run"), number(float64(runs)), number(p.Rate))
	if p.Rate == 0 {
		together := f.longest[i+1].first.parallel
		problem = fmt.Sprintf("a call keeps its place while it waits for up to %s to be repeated", text(f.steps[j].plan.Backoff))
		if together > 1 {
			problem = fmt.Sprintf("a call takes one place for up to %s at the same time", count(together, "run"))
		}
	}
	f.add(Doubtful, "limit_outside_attempts", []int{i, j}, problem, fmt.Sprintf("put %s inside of %s", f.steps[i].label(), f.steps[j].label()))
}

// checkFallback looks for policies outside of a fallback.
func (f *findings) checkFallback(i int, _ *Plan) {
	if j := f.outside(i, learns); j >= 0 {
		severity, problem := Doubtful, "what the fallback does in its place hides the failures of the dependency from it"
		if f.lacks(i, acts) {
			severity, problem = Impossible, problem+", and there is no other place where it could see them"
		}
		f.add(severity, "fallback_inside", []int{j, i}, problem, fmt.Sprintf("put %s outside of %s", f.steps[i].label(), f.steps[j].label()))
		return
	}
	if j := f.outside(i, limits); j >= 0 && f.longest[i+1].first.time >= f.steps[j].plan.Limit {
		f.add(Doubtful, "fallback_inside", []int{j, i},
			fmt.Sprintf("when a call has failed by the limit of %s, there is no time left for what the fallback does", text(f.steps[j].plan.Limit)),
			fmt.Sprintf("put %s outside of %s, or a shorter limit inside of it", f.steps[i].label(), f.steps[j].label()))
	}
}

// checkChaos looks for policies inside of a chaos, and at the chaos.
func (f *findings) checkChaos(i int, _ *Plan) {
	f.add(Doubtful, "chaos_present", []int{i},
		"it makes calls fail that would not", fmt.Sprintf("leave %s out of what is not a test", f.steps[i].label()))
	if j := f.inside(i, func(p *Plan) bool { return p.acts() && !p.Disturbs }); j >= 0 {
		f.add(Doubtful, "chaos_outside", []int{i, j},
			fmt.Sprintf("%s never sees what %s does, so it is not tested", f.steps[j].label(), f.steps[i].label()),
			fmt.Sprintf("put %s innermost", f.steps[i].label()))
	}
}
