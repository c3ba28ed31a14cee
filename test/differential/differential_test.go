// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestVectors asks both for every vector, the good and the bad.
func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			ours, theirs := v.byOurs(v.bundle), v.byTheirs(v.bundle)
			if bad := strings.HasSuffix(v.name, "_fail"); (ours == nil) == bad {
				t.Errorf("ours: %v", ours)
			}
			if (ours == nil) != (theirs == nil) {
				t.Errorf("ours: %v\ntheirs: %v", ours, theirs)
			}
		})
	}
}

// TestEveryByte flips a bit of every byte of every binary field of a bundle of
// each kind. What we accept, they accept.
func TestEveryByte(t *testing.T) {
	dir := corpus(t)
	for _, name := range []string{"happy-path-v0.1", "happy-path-intoto-in-dsse-v3", "rekor2-happy-path", "rekor2-timestamp-with-embedded-cert", "managed-key-happy-path"} {
		v := load(t, dir, name)
		tried, accepted := 0, 0
		everyByte(t, v.bundle, func(path string, data []byte) {
			tried++
			if v.byOurs(data) != nil {
				return
			}
			accepted++
			if err := v.byTheirs(data); err != nil {
				t.Errorf("%s, %s: accepted by us alone; theirs: %v", name, path, err)
			}
		})
		t.Logf("%s: %d of %d accepted by both", name, accepted, tried)
		if tried < 2000 {
			t.Errorf("%s: only %d bytes: the test does not see the bundle", name, tried)
		}
	}
}

// TestMutants asks both for every mutant of every good vector.
func TestMutants(t *testing.T) {
	type difference struct{ path, what, code string }
	found := make(map[difference]string)
	var mu sync.Mutex
	total, accepted := 0, 0
	for _, v := range vectors(t) {
		if strings.HasSuffix(v.name, "_fail") {
			continue
		}
		all := mutants(t, v.bundle)
		work := make(chan mutant)
		var group sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			group.Go(func() {
				for m := range work {
					ours := v.byOurs(m.json)
					theirs := v.byTheirs(m.json)
					mu.Lock()
					total++
					switch {
					case ours == nil && theirs != nil:
						t.Errorf("%s, %s %s: accepted by us alone; theirs: %v", v.name, m.path, m.what, theirs)
					case ours != nil && theirs == nil:
						found[difference{m.path, m.what, codeOf(ours)}] = fmt.Sprintf("%s: %v", v.name, ours)
					case ours == nil:
						accepted++
					}
					mu.Unlock()
				}
			})
		}
		for _, m := range all {
			work <- m
		}
		close(work)
		group.Wait()
	}
	t.Logf("%d mutants, %d accepted by both, %d kinds of difference", total, accepted, len(found))
	if total < 5000 {
		t.Errorf("only %d mutants: the test does not see the bundles", total)
	}
	used := make(map[int]bool)
	for _, d := range slices.SortedFunc(maps.Keys(found), func(a, b difference) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }) {
		i := slices.IndexFunc(stricterFields, func(s stricter) bool { return s.covers(d.path, d.what, d.code) })
		if i < 0 {
			t.Errorf("%s %s: refused by us alone (%s), which the table does not know: %s", d.path, d.what, d.code, found[d])
			continue
		}
		used[i] = true
	}
	for i, s := range stricterFields {
		if !used[i] {
			t.Errorf("no difference of the kind %v: the table is out of date", s)
		}
	}
}

// stricter is a kind of mutant that only we refuse, and why.
type stricter struct {
	path, what string // what "" is any; path may end in *
	code       string // ours
	why        string
}

func (s stricter) covers(path, what, code string) bool {
	prefix, any := strings.CutSuffix(s.path, "*")
	return (s.path == path || any && strings.HasPrefix(path, prefix)) && (s.what == "" || s.what == what) && s.code == code
}

// stricterFields is why we refuse what sigstore-go takes. "v2" is Rekor v2, of
// whose entries sigstore-go rebuilds what it needs and does not look at the rest.
var stricterFields = []stricter{
	{"*", "with stray bits", "parse", "base64 writes one value in one way"},
	{"*", "with a line break", "parse", "base64 writes one value in one way"},
	{"*", "with a line break inside", "parse", "base64 writes one value in one way"},
	{"*", "with a fraction", "parse", "an index is an integer"},
	{"*", "with an exponent", "parse", "an index is an integer"},
	{"messageSignature.messageDigest.algorithm", "", "parse", "a digest of an unspecified algorithm says nothing"},
	{"verificationMaterial.timestampVerificationData*", "", "parse", "every element has what its type requires and is there once, even where a log's promise gives the time"},
	{"verificationMaterial.timestampVerificationData*", "", "timestamp", "a trusted authority's token has to hold, even where a log's promise gives the time"},
	{"verificationMaterial.x509CertificateChain.certificates", "with {}", "parse", "no certificate is empty"},
	{"verificationMaterial.x509CertificateChain.certificates", "repeated", "bundle", "what follows the signing certificate is an authority's"},
	{"verificationMaterial.tlogEntries[].canonicalizedBody", "", "log-entry-mismatch", "v2: the body that was proven to be in the log is the bundle's"},
	{"verificationMaterial.tlogEntries[].kindVersion*", "", "parse", "v2: an entry states what it is"},
	{"verificationMaterial.tlogEntries[].kindVersion*", "", "unsupported", "v2: an entry states what it is"},
	{"verificationMaterial.tlogEntries[].inclusionProof.checkpoint.envelope", "", "checkpoint-signature", "a signature line by another name is another's"},
	{"verificationMaterial.tlogEntries[].inclusionProof.logIndex", "", "parse", "v2: proof, entry and checkpoint speak of one leaf in one tree"},
	{"verificationMaterial.tlogEntries[].inclusionProof.logIndex", "", "inclusion-proof", "v2: proof, entry and checkpoint speak of one leaf in one tree"},
	{"verificationMaterial.tlogEntries[].inclusionProof.rootHash", "", "parse", "v2: proof, entry and checkpoint speak of one leaf in one tree"},
	{"verificationMaterial.tlogEntries[].inclusionProof.rootHash", "", "checkpoint", "v2: proof, entry and checkpoint speak of one leaf in one tree"},
	{"verificationMaterial.tlogEntries[].inclusionProof.treeSize", "", "parse", "v2: proof, entry and checkpoint speak of one leaf in one tree"},
	{"verificationMaterial.tlogEntries[].inclusionProof.treeSize", "", "checkpoint", "v2: proof, entry and checkpoint speak of one leaf in one tree"},
}
