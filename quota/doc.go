// Package quota divides what a daemon has among those who ask for it, so that
// no user keeps others waiting, and nobody keeps root waiting.
//
// Of each limit one user has at most a quarter, and all users together at most
// three quarters. Members of the group that a socket is for (they may do what
// root may) have half each, and an eighth that other users do not get. Another
// eighth is root's alone, even where the limit is used up. What is larger than
// such a part goes to one who has nothing else.
package quota
