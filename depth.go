package kith

import (
	"bytes"
	"fmt"
)

// MaxDepth is how deep arrays and objects of a JSON message may be nested.
// Decoding goes down one call of a function for each, and encoding/json itself
// allows 10,000.
const MaxDepth = 64

var errTooDeep = fmt.Errorf("nested deeper than %d", MaxDepth)

// tooDeep reports whether data is nested deeper than MaxDepth. Most messages
// have not that many brackets, which bytes.Count finds out many bytes at a time.
func tooDeep(data []byte) bool {
	if len(data) <= MaxDepth || bytes.Count(data, []byte{'['})+bytes.Count(data, []byte{'{'}) <= MaxDepth {
		return false
	}
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i += stringLen(data[i+1:])
		case '[', '{':
			if depth++; depth > MaxDepth {
				return true
			}
		case ']', '}':
			depth--
		}
	}
	return false
}

// stringLen returns the length of a JSON string whose first quote is before
// data, the last one included. What is wrong with it is left to the decoder.
func stringLen(data []byte) int {
	n := 0
	for {
		k := bytes.IndexByte(data[n:], '"')
		if k < 0 {
			return len(data)
		}
		n += k + 1
		slashes := 0
		for j := n - 2; j >= 0 && data[j] == '\\'; j-- {
			slashes++
		}
		if slashes%2 == 0 {
			return n
		}
	}
}
