package transport

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Router is a [Transport] that hands each address to the transport of its
// scheme. It is a plain value: fill it before use. An address without a scheme
// goes to the only entry, and is an error if there are several. Closing a
// Router closes its transports.
type Router map[string]Transport

// Dial dials a through the transport of its scheme.
func (r Router) Dial(ctx context.Context, a Addr) (Conn, error) {
	t, err := r.pick(a)
	if err != nil {
		return nil, err
	}
	return t.Dial(ctx, a)
}

// Listen listens at a through the transport of its scheme.
func (r Router) Listen(ctx context.Context, a Addr) (Listener, error) {
	t, err := r.pick(a)
	if err != nil {
		return nil, err
	}
	return t.Listen(ctx, a)
}

// Close closes all transports, and returns their errors joined.
func (r Router) Close() error {
	var errs []error
	for _, t := range r {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

func (r Router) pick(a Addr) (Transport, error) {
	if a.Scheme == "" && len(r) == 1 {
		for _, t := range r {
			return t, nil
		}
	}
	if t, ok := r[a.Scheme]; ok {
		return t, nil
	}
	known := slices.Sorted(maps.Keys(r))
	return nil, fmt.Errorf("no transport for scheme %q, have %s", a.Scheme, strings.Join(known, ", "))
}
