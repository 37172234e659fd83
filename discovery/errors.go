package discovery

import "errors"

// Why a [Table] refuses a record that is none the worse in itself.
var (
	// ErrNetwork says that the record belongs to another network.
	ErrNetwork = errors.New("discovery: record of another network")

	// ErrExpired says that the record's time is over.
	ErrExpired = errors.New("discovery: record has expired")

	// ErrStale says that the same ID has said something later, or that it says
	// goodbye and was not there.
	ErrStale = errors.New("discovery: record is out of date")

	// ErrFull says that an unknown ID was turned away, as there is no room for
	// more, or not for more from this source.
	ErrFull = errors.New("discovery: too many records")

	// ErrLimited says that the record was not looked at, as too many came of late.
	ErrLimited = errors.New("discovery: records come too fast")
)
