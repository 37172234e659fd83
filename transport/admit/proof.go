package admit

import (
	"encoding/binary"
	"iter"
)

// maxProofName is the length of the longest name of a proof.
const maxProofName = 32

// AppendProof appends a proof under a name to dst, and returns the result,
// which is what [Policy.Present] returns: a list, in which each policy finds
// its own with [Proofs] and passes over the rest. So policies that present
// something can be combined by [All] and [Any], and the two sides need not
// combine the same ones. A name may come more than once. It is up to 32 bytes,
// and begins with the program's name if it is not this package's; AppendProof
// panics if it is empty or longer. It does not keep proof.
func AppendProof(dst []byte, name string, proof []byte) []byte {
	if name == "" || len(name) > maxProofName {
		panic("admit: AppendProof with a name of no or more than 32 bytes")
	}
	dst = append(binary.AppendUvarint(dst, uint64(len(name))), name...)
	return append(binary.AppendUvarint(dst, uint64(len(proof))), proof...)
}

// Proofs returns the proofs of that name in what the other side presented, in
// order; none if that is no list as [AppendProof] makes it. They are slices of
// presented.
func Proofs(presented []byte, name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if !validProofs(presented) {
			return
		}
		for p := presented; len(p) > 0; {
			var n, value []byte
			n, value, p, _ = cutProof(p)
			if string(n) == name && !yield(value) {
				return
			}
		}
	}
}

// validProofs reports whether p is a list of proofs, which may be empty.
func validProofs(p []byte) bool {
	for len(p) > 0 {
		name, _, rest, ok := cutProof(p)
		if !ok || len(name) == 0 || len(name) > maxProofName {
			return false
		}
		p = rest
	}
	return true
}

func cutProof(p []byte) (name, value, rest []byte, ok bool) {
	if name, p, ok = cutBytes(p); !ok {
		return nil, nil, nil, false
	}
	value, rest, ok = cutBytes(p)
	return name, value, rest, ok
}

// cutBytes cuts off a length and as many bytes. A length not in its shortest
// form is refused: there is one form of each list.
func cutBytes(p []byte) (v, rest []byte, ok bool) {
	n, k := binary.Uvarint(p)
	if k <= 0 || k > 1 && p[k-1] == 0 || n > uint64(len(p)-k) {
		return nil, nil, false
	}
	end := k + int(n)
	return p[k:end:end], p[end:], true
}
