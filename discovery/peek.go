package discovery

// Peek reads a record without checking its signature, for a medium that refuses some for what they say
// before it pays for more. What it returns may be forged; only [Open] and [Table.Put] say that it is not. p is
// not kept. Every error matches [ErrRecord].
func Peek(p []byte) (Record, error) {
	if err := checkForm(p); err != nil {
		return Record{}, err
	}
	return decode(p).rec, nil
}
