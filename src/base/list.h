/* Intrusive doubly linked list: the links are members of the elements. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A member of each element, and the head itself. A head is initialised with list_init; an element
 * outside any list is zeroed. */
struct list {
    struct list *next;
    struct list *previous;
};

static inline void list_init(struct list *head)
{
    head->next = head->previous = head;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

static inline bool list_is_linked(const struct list *element)
{
    return element->next != NULL;
}

static inline void list_append(struct list *head, struct list *element)
{
    element->next = head;
    element->previous = head->previous;
    head->previous->next = element;
    head->previous = element;
}

static inline void list_prepend(struct list *head, struct list *element)
{
    list_append(head->next, element);
}

/* Takes it out of its list; nothing happens when it is in none. */
static inline void list_remove(struct list *element)
{
    if (!element->next)
        return;
    element->next->previous = element->previous;
    element->previous->next = element->next;
    element->next = element->previous = NULL;
}

/* The struct that has `link` as its member `member`. */
#define LIST_ENTRY(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* Walks all links; the current one may be removed meanwhile, others may not. */
#define LIST_EACH(head, link)                                                                      \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head);              \
         link = link##_next, link##_next = link->next)
