// A robot's joints as a tree of chains, and where their rows lie in packed symmetric matrices.
//
// Numbers 0–5 of a generalized acceleration or force belong to the base (angular, then linear, world axes), 6 + j to
// joint j. Joint j moves only what hangs from it, so the joint-space inertia has no entry for two joints of which neither
// hangs from the other; and a contact of a link with the ground adds to the entries of the joints between that link and
// the base alone. A packed matrix keeps the base's lower triangle, and then of every joint one row: six entries for the
// base, one for each joint above it from the base outwards, and its own.
//
// A chain is a run of joints each of which hangs from the one before and carries no other: its length is the only thing
// about a robot that compilers are told (1 … kMaxChain), so that what happens within a chain is unrolled.
#pragma once

#include "../common/number.h"
#include "layout.h"

namespace walkies::WALKIES_NS {

constexpr int kMaxChain = 8;

constexpr int triangle(int n) { return n * (n + 1) / 2; }
// Place of element (i, j), i ≥ j, in a packed lower triangle.
constexpr int packed(int i, int j) { return triangle(i) + j; }

struct Chain {
  int first, count;  // joints first … first + count − 1
  int depth;         // joints above them
  int parent;        // the last of those, −1 if there is none
  int row;           // where the first joint's row begins; the next row follows
  bool leaf;         // nothing hangs from it
  const int* path;   // the joints above, from the base outwards, and then its own
};

struct Tree {
  int joints, size, chains;  // size: numbers in a packed matrix
  int depth[kMaxJoints];     // joints above
  int row[kMaxJoints];
  const int* path[kMaxJoints];  // joints from the base outwards, the joint itself last
  Chain chain[kMaxJoints];
  int paths[kMaxJoints * kMaxJoints];
};

// Fills in a tree, given the joint from which each one's link hangs.
inline void make_tree(int joints, const int* parent, Tree& t) {
  int children[kMaxJoints + 1] = {};
  for (int j = 0; j < joints; j++) children[parent[j] + 1]++;
  t.joints = joints, t.size = triangle(6), t.chains = 0;
  int* paths = t.paths;
  for (int j = 0; j < joints;) {
    Chain& c = t.chain[t.chains++];
    const int up = parent[j];
    c.first = j, c.count = 0, c.parent = up, c.depth = up < 0 ? 0 : t.depth[up] + 1, c.row = t.size, c.path = paths;
    for (int i = 0; i < c.depth; i++) *paths++ = t.path[up][i];
    do {
      t.depth[j] = c.depth + c.count;
      t.row[j] = t.size;
      t.path[j] = c.path;
      t.size += 6 + t.depth[j] + 1;
      *paths++ = j;
      c.count++, j++;
    } while (j < joints && parent[j] == j - 1 && children[j] == 1 && c.count < kMaxChain);
    c.leaf = children[j] == 0;
  }
}

// Calls f<J, Deep>(chain) for the chain's length; Deep: there are joints above it.
template <class F>
WALKIES_INLINE void with_length(const Chain& c, F&& f) {
#define WALKIES_LENGTH(J)                                                                    \
  case J:                                                                                    \
    c.depth ? f.template operator()<J, true>(c) : f.template operator()<J, false>(c);        \
    break;
  switch (c.count) {
    WALKIES_LENGTH(1)
    WALKIES_LENGTH(2)
    WALKIES_LENGTH(3)
    WALKIES_LENGTH(4)
    WALKIES_LENGTH(5)
    WALKIES_LENGTH(6)
    WALKIES_LENGTH(7)
    WALKIES_LENGTH(8)
  }
#undef WALKIES_LENGTH
  static_assert(kMaxChain == 8);
}

template <class F>
WALKIES_INLINE void outwards(const Tree& t, F&& f) {
  for (int i = 0; i < t.chains; i++) with_length(t.chain[i], f);
}
template <class F>
WALKIES_INLINE void inwards(const Tree& t, F&& f) {
  for (int i = t.chains - 1; i >= 0; i--) with_length(t.chain[i], f);
}

// Where row k of a chain begins, from the first row on.
template <bool Deep>
WALKIES_INLINE int row_of(const Chain& c, int k) {
  return c.row + k * (Deep ? 6 + c.depth : 6) + triangle(k);
}

}  // namespace walkies::WALKIES_NS
