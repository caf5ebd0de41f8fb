package middleware

import "context"

// A Priority says how much a call matters when not all of them can be made. The four
// levels are the criticality of Google's Site Reliability Engineering, chapter 21,
// "Handling Overload". A policy that sheds load sheds the lowest first.
//
// The zero Priority is Critical, as a call is unless somebody says otherwise.
type Priority int8

const (
	// Sheddable is for what may often fail, such as a batch job that comes back later.
	Sheddable Priority = iota - 2
	// SheddablePlus is for what may fail for a while.
	SheddablePlus
	// Critical is for what users notice.
	Critical
	// CriticalPlus is for what users notice most.
	CriticalPlus
)

// String returns the name of the priority in lower case with underscores.
func (p Priority) String() string {
	switch p {
	case Sheddable:
		return "sheddable"
	case SheddablePlus:
		return "sheddable_plus"
	case Critical:
		return "critical"
	case CriticalPlus:
		return "critical_plus"
	default:
		return "unknown"
	}
}

// ParsePriority returns the priority of that name, as String gives it.
func ParsePriority(name string) (p Priority, ok bool) {
	for p = Sheddable; p <= CriticalPlus; p++ {
		if p.String() == name {
			return p, true
		}
	}
	return Critical, false
}

type priorityKey struct{}

// WithPriority returns a context whose calls have the priority p, in every chain. One
// that is out of range counts as the nearest.
func WithPriority(ctx context.Context, p Priority) context.Context {
	return context.WithValue(ctx, priorityKey{}, min(max(p, Sheddable), CriticalPlus))
}

// PriorityOf returns the priority of the calls made with ctx: Critical unless
// [WithPriority] says otherwise.
func PriorityOf(ctx context.Context) Priority {
	p, _ := ctx.Value(priorityKey{}).(Priority)
	return p
}
