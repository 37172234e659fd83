package discoverytest

import (
	"fmt"

	"github.com/kith-go/kith/discovery"
)

// describeRecord is short enough to be read twice in one line.
func describeRecord(r discovery.Record) string {
	if r.ID.IsZero() {
		return "nobody"
	}
	return fmt.Sprintf("%s #%d at %v with %d services until %v",
		r.ID.Short(), r.Sequence, r.Addrs, len(r.Services), r.Expires.Format("15:04:05"))
}
