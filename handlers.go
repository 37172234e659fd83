package kith

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Handlers is the set of methods that a client, a server or a node offers.
// The zero value is ready. Fill it by the Handle methods of the descriptors,
// then hand it to whoever serves; one set may serve many. Registering a name
// twice, or after the set is in use, panics.
type Handlers struct {
	mu  sync.Mutex
	reg map[string]*registered // guarded by mu
	mw  []Middleware           // guarded by mu

	// table is the set in use, with all middleware applied; nil before.
	table atomic.Pointer[map[string]*registered]
}

type registered struct {
	method *Method
	run    Handler
}

// Use wraps all methods of the set, also those registered later, in
// middleware, the first outermost, outside what the methods have of their own.
func (h *Handlers) Use(mw ...Middleware) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mustBeOpen("Use")
	h.mw = append(h.mw, mw...)
}

// Register adds a method with a handler of undecoded messages, wrapped in mw.
// Programs use the Handle methods of typed descriptors; this is for proxies
// and their like.
func (h *Handlers) Register(m *Method, f Handler, mw ...Middleware) {
	if f == nil {
		panic("kith: nil handler for " + m.name)
	}
	run := Chain(f, mw...) // before the lock: mw is the user's code
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mustBeOpen("register " + m.name)
	if h.reg[m.name] != nil {
		panic(fmt.Sprintf("kith: method %s registered twice", m.name))
	}
	if h.reg == nil {
		h.reg = make(map[string]*registered)
	}
	h.reg[m.name] = &registered{method: m, run: run}
}

// mustBeOpen is called with mu held.
func (h *Handlers) mustBeOpen(what string) {
	if h.table.Load() != nil {
		panic("kith: " + what + ": handlers are in use already")
	}
}

// Methods returns the methods in the order of their names, and marks the set
// as in use. A nil set has none.
func (h *Handlers) Methods() []*Method {
	var ms []*Method
	for _, r := range h.inUse() {
		ms = append(ms, r.method)
	}
	slices.SortFunc(ms, func(a, b *Method) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return ms
}

// Lookup finds a method by the exact bytes of its name, and marks the set as in
// use. It is for those who run handlers; a nil set has no methods.
func (h *Handlers) Lookup(name []byte) (m *Method, run Handler, ok bool) {
	r := h.inUse()[string(name)]
	if r == nil {
		return nil, nil, false
	}
	return r.method, r.run, true
}

func (h *Handlers) inUse() map[string]*registered {
	if h == nil {
		return nil
	}
	if t := h.table.Load(); t != nil {
		return *t
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.table.Load(); t != nil {
		return *t
	}
	t := maps.Clone(h.reg)
	for name, r := range t {
		t[name] = &registered{method: r.method, run: Chain(r.run, h.mw...)}
	}
	h.table.Store(&t)
	return t
}
