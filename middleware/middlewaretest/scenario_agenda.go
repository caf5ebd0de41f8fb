package middlewaretest

import (
	"container/heap"
	"time"
)

// An agenda is what will happen, in the order of time, and at the same time in the order in
// which it was put down.
type agenda struct {
	plans plans
	added int
}

type plan struct {
	at     time.Duration
	serial int
	happen func()
}

func (a *agenda) add(at time.Duration, happen func()) {
	heap.Push(&a.plans, plan{at, a.added, happen})
	a.added++
}

// next returns when the next thing happens.
func (a *agenda) next() (at time.Duration, ok bool) {
	if len(a.plans) == 0 {
		return 0, false
	}
	return a.plans[0].at, true
}

func (a *agenda) take() func() {
	p, _ := heap.Pop(&a.plans).(plan)
	return p.happen
}

// plans are a heap.
type plans []plan

func (p plans) Len() int      { return len(p) }
func (p plans) Swap(i, j int) { p[i], p[j] = p[j], p[i] }

func (p plans) Less(i, j int) bool {
	if p[i].at != p[j].at {
		return p[i].at < p[j].at
	}
	return p[i].serial < p[j].serial
}

func (p *plans) Push(x any) { *p = append(*p, x.(plan)) }

func (p *plans) Pop() any {
	last := len(*p) - 1
	x := (*p)[last]
	(*p)[last] = plan{}
	*p = (*p)[:last]
	return x
}
