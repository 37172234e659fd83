package server

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kith-go/kith"
)

// A Meter counts calls by method. The zero value is ready; it must not be
// copied. Wrap methods in its [Meter.Middleware], and read what was counted with
// [Meter.Snapshot], both from any goroutine.
type Meter struct {
	mu      sync.Mutex
	methods map[string]*MethodStats // guarded by mu
}

// MethodStats is what a [Meter] has counted of one method.
type MethodStats struct {
	// Method is its name.
	Method string
	// InFlight is the number of its handlers that run now.
	InFlight int
	// Calls is the number of calls that have ended, by the code that their
	// callers saw.
	Calls map[kith.Code]uint64
	// Total is the time that those took together, Longest the longest of them.
	Total, Longest time.Duration
}

// Middleware counts the calls of what it wraps.
func (m *Meter) Middleware() kith.Middleware {
	return func(next kith.Handler) kith.Handler {
		return func(ctx context.Context, c kith.Call) error {
			st := m.begin(c.Method.Name())
			return observe(ctx, c, next, func(err error, took time.Duration) {
				m.end(st, codeFor(ctx, err), took)
			})
		}
	}
}

func (m *Meter) begin(name string) *MethodStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := m.methods[name]
	if st == nil {
		if m.methods == nil {
			m.methods = make(map[string]*MethodStats)
		}
		st = &MethodStats{Method: name, Calls: make(map[kith.Code]uint64)}
		m.methods[name] = st
	}
	st.InFlight++
	return st
}

func (m *Meter) end(st *MethodStats, code kith.Code, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	st.InFlight--
	st.Calls[code]++
	st.Total += took
	st.Longest = max(st.Longest, took)
}

// Snapshot returns what was counted of each method that was called, by name.
// It belongs to the caller.
func (m *Meter) Snapshot() []MethodStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]MethodStats, 0, len(m.methods))
	for _, st := range m.methods {
		one := *st
		one.Calls = make(map[kith.Code]uint64, len(st.Calls))
		maps.Copy(one.Calls, st.Calls)
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b MethodStats) int { return cmp.Compare(a.Method, b.Method) })
	return all
}
